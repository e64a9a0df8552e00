"""Mutants: which small faults in the code would its tests not see?

Usage: `make mutants [MUTANTS=40] [SEED=0]`, or `python scripts/mutants.py --help`.

A mutant is the code with one small fault: another comparison or operator, a number one higher or
lower, a condition turned round, a loop that does not run, an argument left out. Cosmic Ray's
operators make them, in a copy of the project, where the tests of the module run until one fails. A
mutant that passes them all is a survivor, and is printed: either a test is missing, or the change
makes no difference. Places are drawn by seed, then what is done there; MUTANTS= takes all places.

Most of a short test run is the import of torch and its like. So they are imported once, and each
mutant is a fork of the process that has them.
"""

import argparse
import difflib
import importlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[1]
FORK = multiprocessing.get_context("fork")  # a child starts at once, with all that is imported

# What the tests import beside the library, which no child may find imported already.
PRELOADED = ("torch", "transformers", "peft", "sklearn.cluster", "sklearn.neighbors", "scipy.stats")

# Each module of the library with its tests: `replay` is tests/test_replay.py. The fastest come
# first, since the first failure ends a mutant.
TABLE = """
metrics/matrix     metrics
metrics/ledger     metrics
metrics/fates      metrics forgetting
streams/authors    conpet_split
streams/drawing    tasks conpet_split
streams/labels     tasks
streams/rows       tasks
streams/sentences  sentences
streams/stream     tasks
models/features    features
models/observing   probe
models/prefix      features
models/probe       probe
models/prompts     prompts
learners/answers   answers costs learners dynamic
learners/base      costs learners dynamic
learners/bounds    costs family
learners/choosing  replay memory family
learners/config    files costs learners dynamic
learners/crl       costs memory family
learners/dynamic_plan costs exact
learners/dynamic   answers costs exact learners dynamic
learners/ea_emr    costs memory family
learners/emr       costs memory family
learners/exact     exact
learners/exact_head exact_head
learners/ewc       costs family
learners/fitting   costs learners dynamic
learners/frozen    family
learners/lwf       costs family
learners/planning  costs memory family
learners/replay    replay learners
learners/selector  answers costs exact learners dynamic
learners/static    costs exact learners dynamic
"""
TESTS: dict[str, tuple[str, ...]] = {}
for row in TABLE.strip().splitlines():
    module_of_row, *tests_of_row = row.split()
    TESTS[module_of_row] = tuple(f"test_{name}.py" for name in tests_of_row)

# Left out are those that mostly break what they touch ("|" is mostly in annotations), or change
# nothing ("is" for "==").
NOT_USED = ("BitOr", "RemoveDecorator", "NoOp", "Variable", "Eq_Is")


# A mutant may run for ever. It has this time, beside what its tests take on the code as it is.
SECONDS_MORE = 60
TIMES_AS_LONG = 3


class DropArgument(Operator):
    """Leaves out one argument of a call that has several."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Where the arguments of a call stand, once for each of them.

        Args:
            node: Of the syntax tree.

        Yields:
            The first and the last position of them all: a call is one place.
        """
        if node.type == "arglist":
            for _ in node.children[::2]:  # commas stand between them
                yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """Take an argument out, with the comma behind it.

        Args:
            node: An argument list.
            index: The argument, from 0.

        Returns:
            The same node.
        """
        place = 2 * index
        del node.children[place : place + 2]
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """What is done, in examples."""
        return (Example("f(a, b)", "f( b)"),)


class Mutant(NamedTuple):
    """One fault at one place.

    Attributes:
        module: As in `TESTS`.
        line: From 1.
        operator: What makes the fault.
        occurrence: Of the operator's places in the module, from 0.
    """

    module: str
    line: int
    operator: Operator
    occurrence: int


def main() -> int:
    """Draw mutants, test each, print the survivors; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, help="how many; default: one for each place")
    parser.add_argument("--seed", type=int, default=0, help="draws the places and the faults")
    parser.add_argument("--modules", nargs="+", choices=TESTS, default=list(TESTS))
    options = parser.parse_args()
    mutants = drawn(options.modules, options.mutants, options.seed)
    sys.dont_write_bytecode = True  # a mutant is as old and as long as the code that it replaces
    for name in PRELOADED:
        importlib.import_module(name)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that `passes` ends what it started
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = copy_of_the_project(Path(folder))
        limits = {}
        for tests in sorted({TESTS[mutant.module] for mutant in mutants}):
            start = time.monotonic()
            if not passes(copy, tests, None):
                print(f"The tests {' '.join(tests)} fail on the code as it is: mend that first.")
                return 1
            seconds = time.monotonic() - start
            limits[tests] = SECONDS_MORE + TIMES_AS_LONG * seconds
            print(f"{' '.join(tests)}: {seconds:.0f} s on the code as it is", flush=True)
        survivors = [mutant for mutant in mutants if survives(mutant, copy, limits)]
    print_shares(mutants, survivors)
    return 0


def drawn(modules: list[str], count: int | None, seed: int) -> list[Mutant]:
    """One mutant for each place, or for so many of them.

    Args:
        modules: Keys of `TESTS`.
        count: How many; None for all.
        seed: Draws the places, and what is done there.

    Returns:
        The mutants, module by module.
    """
    generator = random.Random(seed)
    places = [mutants for module in modules for mutants in mutants_by_place(module)]
    if count is not None:
        places = generator.sample(places, min(count, len(places)))
    chosen = [generator.choice(mutants) for mutants in places]
    return sorted(chosen, key=lambda mutant: (mutant.module, mutant.line))


def mutants_by_place(module: str) -> list[list[Mutant]]:
    """All mutants of a module, those of one place together.

    Args:
        module: A key of `TESTS`.
    """
    tree = get_ast(file_of(ROOT, module).read_text(encoding="utf-8"))
    places = defaultdict(list)
    for operator in operators():
        occurrence = 0
        for node in ast_nodes(tree):
            for start, end in operator.mutation_positions(node):
                places[start, end].append(Mutant(module, start[0], operator, occurrence))
                occurrence += 1
    return list(places.values())


def operators() -> list[Operator]:
    """Cosmic Ray's operators without those that give no sensible fault, and our own."""
    names = [name for name in operator_names() if is_used(name)]
    return [get_operator(name)() for name in names] + [DropArgument()]


def is_used(operator: str) -> bool:
    """Whether an operator gives sensible faults.

    Args:
        operator: Its name, as Cosmic Ray has it.
    """
    return not any(part in operator for part in NOT_USED)


def file_of(root: Path, module: str) -> Path:
    """The file of a module.

    Args:
        root: The project, or the copy of it.
        module: A key of `TESTS`.
    """
    return root / "conpet_lib" / f"{module}.py"


def copy_of_the_project(folder: Path) -> Path:
    """What the tests need, in a folder where it may be changed.

    Args:
        folder: An empty one.

    Returns:
        The root of the copy.
    """
    copy = folder / "project"
    for name in ("conpet_lib", "tests", "scripts", "data"):
        left_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy / name, ignore=left_out)
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md"):
        shutil.copy2(ROOT / name, copy / name)
    return copy


def survives(mutant: Mutant, copy: Path, limits: dict[tuple[str, ...], float]) -> bool:
    """Whether no test of its module fails for a mutant, which is told.

    Args:
        mutant: What to put into the code.
        copy: Of the project; it is put back as it was.
        limits: Seconds by tests, after which a mutant counts as seen.
    """
    file = file_of(copy, mutant.module)
    code = file.read_text(encoding="utf-8")
    mutated = mutate_code(code, mutant.operator, mutant.occurrence)
    assert mutated is not None
    file.write_text(mutated, encoding="utf-8")
    start = time.monotonic()
    tests = TESTS[mutant.module]
    survived = passes(copy, tests, limits[tests])
    seconds = time.monotonic() - start
    file.write_text(code, encoding="utf-8")
    fate = "SURVIVES" if survived else "is seen"
    print(f"{mutant.module}:{mutant.line} {fate} ({seconds:.0f} s)", flush=True)
    if survived:
        print(*changed_lines(code, mutated), sep="\n", flush=True)
    return survived


def changed_lines(code: str, mutated: str) -> Iterator[str]:
    """The lines that differ, with a minus as they were and a plus as they are.

    Args:
        code: As it is.
        mutated: With the fault.
    """
    lines = difflib.unified_diff(code.splitlines(), mutated.splitlines(), n=0, lineterm="")
    for number, line in enumerate(lines):
        if number > 2:  # the names of files, and where
            yield f"    {line}"


def passes(copy: Path, tests: tuple[str, ...], limit: float | None) -> bool:
    """Whether tests pass on the copy of the project, in a process of their own.

    Args:
        copy: Of the project.
        tests: Names of test files.
        limit: Seconds, or None.
    """
    process = FORK.Process(target=run_tests, args=(copy, tests))
    process.start()
    try:
        process.join(limit)
    finally:  # also where the whole is stopped
        if process.is_alive():
            os.killpg(process.pid, signal.SIGKILL)  # with what the tests have started
            process.join()
    return process.exitcode == 0


def run_tests(copy: Path, tests: tuple[str, ...]) -> None:
    """Run tests until one fails, silently, and end this process.

    Args:
        copy: Of the project.
        tests: Names of test files.
    """
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy)  # for processes that a test starts
    sys.path.insert(0, str(copy))
    quiet = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not long and not gpu"]
    os._exit(int(pytest.main([*quiet, *(f"tests/{name}" for name in tests)])))


def print_shares(mutants: list[Mutant], survivors: list[Mutant]) -> None:
    """Print how many mutants survived in each module, and in all.

    Args:
        mutants: All that were tested.
        survivors: Those that no test saw.
    """
    tested = Counter(mutant.module for mutant in mutants)
    survived = Counter(mutant.module for mutant in survivors)
    print()
    for module, count in tested.items():
        print(f"{module:<20} {survived[module]:>3} of {count:>3} survive")
    share = len(survivors) / len(mutants)
    print(f"{'all':<20} {len(survivors):>3} of {len(mutants):>3} survive ({share:.0%})")


if __name__ == "__main__":
    sys.exit(main())
