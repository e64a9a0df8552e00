"""The direction of imports: rooms follow the data flow, and no file needs another in a circle."""

import ast
import graphlib
import os
import subprocess
import sys
from collections.abc import Container, Iterator
from pathlib import Path

import pytest

import conpet_lib as cp
from conpet_lib.former import FORMER

LIBRARY = Path(__file__).parents[1] / "conpet_lib"
ROOMS = (
    "metrics",
    "core",
    "corpora",
    "streams",
    "models",
    "learners",
    "runs",
    "plots",
    "analysis",
    "widgets",
)
FOR_PAGES_ONLY = {"IPython", "ipywidgets", "ipykernel", "jupyterlab"}


def module_name(path: Path, library: Path = LIBRARY) -> str:
    """The name under which a file is imported: `conpet_lib.core.files`."""
    parts = path.relative_to(library.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def is_for_types(node: ast.AST) -> bool:
    """Whether a statement is the `if TYPE_CHECKING:` whose imports never run."""
    if not isinstance(node, ast.If):
        return False
    test = node.test
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def running_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a file but those that only a type checker reads."""
    yield node
    for child in ast.iter_child_nodes(node):
        if is_for_types(child):
            for other in child.orelse:
                yield from running_nodes(other)
        else:
            yield from running_nodes(child)


def imported_names(path: Path, library: Path = LIBRARY) -> set[str]:
    """What a file imports, at its head or inside of a function, as full names."""
    package = path.relative_to(library.parent).parent.parts
    names = set()
    for node in running_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join([*above, *([node.module] if node.module else [])])
            names.update(f"{source}.{alias.name}" for alias in node.names)
    return names


def home(imported: str, modules: Container[str]) -> str:
    """The module of the library that holds a name; empty if none does."""
    while imported and imported not in modules:
        imported = imported.rpartition(".")[0]
    return imported


def import_graph(library: Path = LIBRARY) -> dict[str, set[str]]:
    """Module -> modules of the library that it imports."""
    paths = {module_name(path, library): path for path in sorted(library.rglob("*.py"))}
    graph = {}
    for name, path in paths.items():
        graph[name] = set()
        targets = {home(imported, paths) for imported in imported_names(path, library)}
        graph[name] = targets - {"", name}
    return graph


def room(module: str) -> str:
    """`core` of `conpet_lib.core.files`; `metrics` of `conpet_lib.metrics`."""
    return module.removeprefix("conpet_lib").strip(".").split(".")[0]


def backward(graph: dict[str, set[str]]) -> list[str]:
    """Imports from a later room.

    The package itself, `import conpet_lib as cp`, counts as the last room: only the widgets, which
    call the library as its users do, may take that way in.
    """
    order = {name: place for place, name in enumerate(ROOMS)}
    order[""] = order["widgets"]
    order["__main__"] = len(order)
    order["former"] = 0  # it imports by name, and only what is asked for
    found = []
    for module, targets in graph.items():
        late = [target for target in targets if order[room(target)] > order[room(module)]]
        found.extend(f"{module} imports {target}" for target in late)
    return sorted(found)


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Files that import one another in a circle, the first as the last again; empty without one."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def write(folder: Path, **files: str) -> Path:
    """A package with these files; two underscores in a name part a room from its file."""
    library = folder / "conpet_lib"
    for name, text in files.items():
        path = library / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return library


def test_every_folder_of_the_library_is_a_room_with_a_place_in_the_order():
    folders = {path.parent.name for path in LIBRARY.rglob("*.py") if path.parent != LIBRARY}
    assert folders == set(ROOMS)


def test_no_room_imports_from_a_later_one():
    assert backward(import_graph()) == []


def test_no_files_import_one_another_in_a_circle():
    assert circle(import_graph()) == []


def test_metrics_and_the_commands_import_nothing_of_ours():
    graph = import_graph()
    targets = set().union(*(to for name, to in graph.items() if room(name) == "metrics"))
    assert {room(target) for target in targets} == {"metrics"}
    assert graph["conpet_lib.__main__"] == set()


def test_analysis_needs_no_figures():
    targets = set().union(*(to for name, to in import_graph().items() if room(name) == "analysis"))
    assert sorted(target for target in targets if room(target) == "plots") == []


def test_what_only_pages_need_is_imported_by_the_widgets_alone():
    found = []
    for path in LIBRARY.rglob("*.py"):
        packages = {name.split(".")[0] for name in imported_names(path)}
        if packages & FOR_PAGES_ONLY and room(module_name(path)) != "widgets":
            found.append(module_name(path))
    assert found == []


def test_the_search_finds_what_it_should(tmp_path):
    library = write(
        tmp_path,
        core__files="def late():\n    from conpet_lib.runs import record\n",
        runs__record="from ..core.files import late\n",
        plots__style=(
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from conpet_lib.widgets import panel\n"
        ),
        widgets__panel="import conpet_lib.plots.style\n",
    )
    graph = import_graph(library)
    assert backward(graph) == ["conpet_lib.core.files imports conpet_lib.runs.record"]
    assert set(circle(graph)) == {"conpet_lib.core.files", "conpet_lib.runs.record"}
    assert graph["conpet_lib.plots.style"] == set()
    assert graph["conpet_lib.widgets.panel"] == {"conpet_lib.plots.style"}


def test_type_checkers_and_python_find_every_public_name_in_one_place():
    told = {}
    for node in ast.walk(ast.parse((LIBRARY / "__init__.py").read_text(encoding="utf-8"))):
        if is_for_types(node):
            for line in node.body:
                told |= {alias.asname: f"{line.module}.{alias.name}" for alias in line.names}
    for name in ("metrics", "plots", "widgets"):
        assert told.pop(name) == f"conpet_lib.{name}"
    assert told == {name: f"conpet_lib.{home}.{name}" for name, home in cp._HOMES.items()}
    for name in cp.__all__:
        assert getattr(cp, name) is not None


def test_looking_at_runs_loads_neither_torch_nor_transformers_nor_peft():
    # Seconds differ from machine to machine; what is loaded does not.
    code = (
        "import sys\nimport conpet_lib as cp\ncp.load_run, cp.runs_table, cp.metrics\n"
        "print({'torch', 'transformers', 'peft', 'seaborn', 'sklearn'} & {*sys.modules})"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "set()"


@pytest.mark.parametrize(("chosen", "wanted"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_that_wait_sleep_unless_the_user_has_chosen(chosen, wanted):
    code = "import conpet_lib, os; print(os.environ['OMP_WAIT_POLICY'])"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if chosen:
        environment["OMP_WAIT_POLICY"] = chosen
    call = [sys.executable, "-c", code]
    ended = subprocess.run(call, capture_output=True, text=True, check=True, env=environment)
    assert ended.stdout.split() == [wanted]


def test_panels_without_the_packages_of_the_pages_say_what_to_install():
    code = (
        "import sys\nsys.modules['ipywidgets'] = None\nimport conpet_lib as cp\n"
        "try:\n    cp.widgets\nexcept ModuleNotFoundError as error:\n    print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs ipywidgets" in ended.stdout and "[notebooks]" in ended.stdout


def test_modules_are_found_by_their_former_names_for_one_version_and_warn():
    code = (
        "import importlib, sys, warnings, conpet_lib as cp\n"
        "from conpet_lib.former import FORMER\n"
        "for name in FORMER:\n"
        "    with warnings.catch_warnings(record=True) as told:\n"
        "        warnings.simplefilter('always', DeprecationWarning)\n"
        "        module = getattr(cp, name)\n"
        "    assert module is sys.modules[f'conpet_lib.{name}']\n"
        "    print(*[one.message for one in told if 'former name' in str(one.message)])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for line, (name, homes) in zip(ended.stdout.splitlines(), FORMER.items(), strict=True):
        assert f"conpet_lib.{name} is now conpet_lib.{homes[0]}" in line


def test_what_scripts_imported_before_the_rooms_is_still_there():
    with pytest.warns(DeprecationWarning):
        for name in FORMER:
            sys.modules.pop(f"conpet_lib.{name}", None)
        from conpet_lib.backbone import ANSWER_ROW, TARGETS, load_backbone
        from conpet_lib.config import DynamicConfig, paper
        from conpet_lib.features import Features, PrefixCache, Store
        from conpet_lib.files import digest, numpy_generator, write_json, write_tensors
        from conpet_lib.registry import CONFIGS, LEARNERS, methods
        from conpet_lib.tasks import Stream, Task, make_stream
    assert CONFIGS["dynamic"] is DynamicConfig is cp.DynamicConfig and paper is cp.paper
    assert load_backbone is cp.load_backbone and make_stream is cp.make_stream
    kept = (ANSWER_ROW, TARGETS, Features, PrefixCache, Store, digest, numpy_generator, write_json)
    assert all((*kept, write_tensors, LEARNERS, methods, Stream, Task))
