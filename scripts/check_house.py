"""The gates of the house: how easily a line of the library is read, measured.

`make check` runs this after ruff and mypy. It prints one line for each gate and every place that
misses it. Usage: `python scripts/check_house.py [FOLDER ...]`; the default is the library.

Its gates are those that no linter has: how much stands on one line, how long and how branched a
function is, and whether docstrings name the arguments that there are.
"""

import ast
import sys
from ast import (
    AST,
    AnnAssign,
    Assign,
    AsyncFunctionDef,
    AugAssign,
    BinOp,
    BoolOp,
    Call,
    Compare,
    Constant,
    Delete,
    DictComp,
    Expr,
    FunctionDef,
    GeneratorExp,
    IfExp,
    JoinedStr,
    Lambda,
    List,
    ListComp,
    Module,
    Mult,
    Name,
    Not,
    Raise,
    Return,
    SetComp,
    Store,
    Tuple,
    UnaryOp,
)
from collections.abc import Callable, Iterator
from pathlib import Path

import griffe
from radon.complexity import cc_visit

ROOT = Path(__file__).parents[1]
MOST_NODES_A_LINE = 10.0
MOST_NODES_A_STATEMENT = 60
MOST_COMPLEXITY = 10
MOST_FUNCTION_LINES = 50  # without the docstring
MOST_LOCALS = 15
MOST_FILE_LINES = 350

SIMPLE = (Assign, AugAssign, AnnAssign, Expr, Return, Raise, Delete)
COMPREHENSIONS = (ListComp, SetComp, DictComp, GeneratorExp)
FUNCTIONS = (FunctionDef, AsyncFunctionDef)

Fault = tuple[str, str]  # the gate, and the place with what is wrong


def size(node: AST) -> int:
    """Number of syntax nodes in a node, itself included."""
    return sum(1 for _ in ast.walk(node))


def is_docstring(node: AST) -> bool:
    """Whether a statement is a text alone."""
    return isinstance(node, Expr) and isinstance(node.value, Constant)


def is_text_or_list(node: AST) -> bool:
    """Whether an expression is a literal text or list."""
    text = isinstance(node, Constant) and isinstance(node.value, str)
    return text or isinstance(node, (List, JoinedStr, ListComp))


def is_truth(node: AST) -> bool:
    """Whether an expression is plainly true or false."""
    if isinstance(node, UnaryOp):
        return isinstance(node.op, Not)
    if isinstance(node, Call):
        return isinstance(node.func, Name) and node.func.id == "bool"
    return isinstance(node, (Compare, BoolOp))


def holds(node: AST, kinds: tuple[type, ...] | type) -> bool:
    """Whether a node of these kinds stands inside of another."""
    return any(isinstance(inner, kinds) for inner in ast.walk(node) if inner is not node)


def is_long_statement(node: AST) -> bool:
    """One statement with too much in it."""
    if not isinstance(node, SIMPLE) or is_docstring(node):
        return False
    return size(node) > MOST_NODES_A_STATEMENT


def is_tuple_of_three(node: AST) -> bool:
    """Three or more values assigned in one line; unpacking a call is fine."""
    if not isinstance(node, Assign) or not isinstance(node.value, Tuple):
        return False
    return isinstance(node.targets[0], Tuple) and len(node.value.elts) >= 3


def is_text_times_truth(node: AST) -> bool:
    """A text or a list times a condition, where an `if` is meant."""
    if not isinstance(node, BinOp) or not isinstance(node.op, Mult):
        return False
    sides = [(node.left, node.right), (node.right, node.left)]
    return any(is_text_or_list(one) and is_truth(other) for one, other in sides)


def is_nested_conditional(node: AST) -> bool:
    """A conditional expression in another."""
    return isinstance(node, IfExp) and holds(node, IfExp)


def is_nested_comprehension(node: AST) -> bool:
    """A comprehension in another."""
    return isinstance(node, COMPREHENSIONS) and holds(node, COMPREHENSIONS)


DENSE: dict[str, Callable[[AST], bool]] = {
    f"statements over {MOST_NODES_A_STATEMENT} nodes": is_long_statement,
    "three or more values in one tuple assignment": is_tuple_of_three,
    "text or list times a truth value": is_text_times_truth,
    "conditional in conditional": is_nested_conditional,
    "comprehension in comprehension": is_nested_comprehension,
}


def code_lines(tree: Module, source: str) -> int:
    """Lines that are neither blank, nor comments, nor docstrings."""
    told: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, Expr) and is_docstring(node):
            told.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    count = 0
    for number, line in enumerate(source.splitlines(), 1):
        text = line.strip()
        if text and not text.startswith("#") and number not in told:
            count += 1
    return count


def local_names(function: AST) -> set[str]:
    """Names that a function assigns, those of functions and comprehensions inside left out."""
    found: set[str] = set()
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, (*FUNCTIONS, Lambda, *COMPREHENSIONS)):
            continue
        if isinstance(node, Name) and isinstance(node.ctx, Store):
            found.add(node.id)
        waiting.extend(ast.iter_child_nodes(node))
    return found


def function_faults(tree: Module, file: str) -> Iterator[Fault]:
    """Functions that are too long, or have too many locals."""
    for node in ast.walk(tree):
        if not isinstance(node, FUNCTIONS):
            continue
        where = f"{file}:{node.lineno}: {node.name}"
        lines = length_without_docstring(node)
        if lines > MOST_FUNCTION_LINES:
            yield f"functions over {MOST_FUNCTION_LINES} lines", f"{where} has {lines}"
        names = local_names(node)
        if len(names) > MOST_LOCALS:
            yield f"functions over {MOST_LOCALS} locals", f"{where} has {len(names)}"


def length_without_docstring(function: FunctionDef | AsyncFunctionDef) -> int:
    """Lines of a function's body."""
    body = function.body[1:] if is_docstring(function.body[0]) else function.body
    if not body:
        return 0
    return (function.end_lineno or 0) - body[0].lineno + 1


def branch_faults(source: str, file: str) -> Iterator[Fault]:
    """Functions with too many branches, as radon counts them."""
    for block in cc_visit(source):
        if block.letter != "C" and block.complexity > MOST_COMPLEXITY:
            where = f"{file}:{block.lineno}: {block.fullname} has {block.complexity}"
            yield f"cyclomatic complexity over {MOST_COMPLEXITY}", where


def file_faults(path: Path, file: str) -> Iterator[Fault]:
    """What is too dense, too long or too branched in one file."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    length = len(source.splitlines())
    if length > MOST_FILE_LINES:
        yield f"files over {MOST_FILE_LINES} lines", f"{file} has {length}"
    for node in ast.walk(tree):
        for gate, is_fault in DENSE.items():
            if is_fault(node):
                yield gate, f"{file}:{getattr(node, 'lineno', 0)}"
    yield from function_faults(tree, file)
    yield from branch_faults(source, file)


def told_arguments(function: griffe.Function) -> tuple[set[str], bool]:
    """The arguments that a docstring describes, and whether it has sections at all."""
    if function.docstring is None:
        return set(), False
    sections = function.docstring.parse("google", warnings=False)
    told: set[str] = set()
    for section in sections:
        if isinstance(section, griffe.DocstringSectionParameters):
            told.update(argument.name.lstrip("*") for argument in section.value)
    return told, True


def public_functions(parent: griffe.Module | griffe.Class) -> Iterator[griffe.Function]:
    """Every function and method of a package that a user may call."""
    for name, member in parent.members.items():
        if name.startswith("_") or member.is_alias:
            continue
        if isinstance(member, griffe.Function):
            yield member
        elif isinstance(member, (griffe.Module, griffe.Class)):
            yield from public_functions(member)


def docstring_faults(package: griffe.Module) -> Iterator[Fault]:
    """Public callables whose docstring does not describe the arguments of their signature.

    A method that overrides a documented one of the same arguments may leave them to it, and
    properties have none.
    """
    gate = "public callables whose docstring differs from their signature"
    for function in public_functions(package):
        fault = docstring_fault(function)
        if fault is not None and "property" not in function.labels:
            yield gate, f"{function.canonical_path} {fault}"


def docstring_fault(function: griffe.Function) -> str | None:
    """What is wrong with the docstring of a function, in words."""
    arguments = {argument.name for argument in function.parameters} - {"self", "cls"}
    wanted = {name for name in arguments if not name.startswith("_")}
    told, there = told_arguments(function)
    may_leave_it_to_another = isinstance(function.parent, griffe.Class) and overridden(function)
    if told - wanted:
        return f"describes {', '.join(sorted(told - wanted))}, which it has not"
    if may_leave_it_to_another and not told:
        return None
    if wanted - told:
        return f"does not describe {', '.join(sorted(wanted - told))}"
    return None if there else "has no docstring"


def overridden(function: griffe.Function) -> bool:
    """Whether a class above has a method of this name, with a docstring."""
    parent = function.parent
    assert isinstance(parent, griffe.Class)
    for above in parent.mro():
        method = above.members.get(function.name)
        if method is not None and not method.is_alias and method.docstring is not None:
            return True
    return False


def check(folder: Path) -> tuple[dict[str, list[str]], float]:
    """All faults of a package by gate, and its mean nodes a code line."""
    gates = dict.fromkeys(DENSE, None)
    found: dict[str, list[str]] = {gate: [] for gate in gates}
    lines = nodes = 0
    for path in sorted(folder.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        lines += code_lines(tree, source)
        nodes += size(tree)
        for gate, where in file_faults(path, str(path.relative_to(folder.parent))):
            found.setdefault(gate, []).append(where)
    if (folder / "__init__.py").is_file():
        package = griffe.load(folder.name, search_paths=[folder.parent], resolve_aliases=False)
        assert isinstance(package, griffe.Module)
        for gate, where in docstring_faults(package):
            found.setdefault(gate, []).append(where)
    return found, nodes / max(lines, 1)


def main(folders: list[str]) -> int:
    """Print the gates of each folder; 1 if one is missed."""
    failed = False
    for folder in [Path(name).resolve() for name in folders] or [ROOT / "conpet_lib"]:
        found, density = check(folder)
        failed |= density > MOST_NODES_A_LINE or any(found.values())
        print(f"{folder.name}: {density:.1f} nodes a code line (at most {MOST_NODES_A_LINE:.0f})")
        for gate, places in found.items():
            print(f"{folder.name}: {len(places)} {gate}")
            for place in places:
                print(f"    {place}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
