"""The house rules: what the README and the pins promise, and what must not stand in the project."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import check_house
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conpet_lib.__main__ import COMMANDS, what_is_missing
from conpet_lib.core.assets import asset_folder
from conpet_lib.core.errors import ConpetError

ROOT = Path(__file__).parents[1]
LIBRARY = sorted((ROOT / "conpet_lib").rglob("*.py"))
HOSTS = {
    "arxiv.org",
    "creativecommons.org",
    "distributed.dask.org",
    "doi.org",
    "download.pytorch.org",
    "github.com",
    "huggingface.co",
    "wordnet.princeton.edu",
    "www.apache.org",
    "www.w3.org",
}  # that a text of ours may link to
MACHINE = re.compile(r"(?<![\w./])/(?:work|root|home|Users|tmp/w)/\S*")


def listed_files() -> list[str]:
    """Paths of all files that git tracks or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if name]


def project_files() -> dict[str, str]:
    """Path -> text of each text file of the project."""
    texts = {}
    for name in listed_files():
        data = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b"\0"
        if b"\0" not in data:
            texts[name] = data.decode()
    return texts


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().split()
    return {
        canonicalize_name(name): version for name, version in (line.split("==") for line in lines)
    }


def tree_of_the_readme() -> set[str]:
    """Paths in the README's file tree: a folder ends with a slash, what is in it is indented."""
    tree = (ROOT / "README.md").read_text(encoding="utf-8").split("## The floor plan", 1)[1]
    paths, folders = set(), {0: ""}
    for line in tree.split("```")[1].splitlines():
        found = re.match(r"( *)([\w./-]+)", line)
        if not found:
            continue
        depth, name = len(found[1]), found[2]
        if name.endswith("/"):
            folders[depth + 2] = folders[depth] + name
        paths.add(folders[depth] + name)
    return paths


def test_the_readme_names_every_file_of_the_library_scripts_and_tests_and_no_other():
    tree = tree_of_the_readme()
    files = {
        name for name in project_files() if re.match(r"(conpet_lib|scripts|tests)/.+\.py", name)
    }
    assert sorted(files - tree) == [], "not in the README"
    missing = [path for path in tree if not (ROOT / path).exists()]
    assert sorted(missing) == [], "in the README only"


def test_documents_link_to_files_that_there_are():
    broken = []
    for name, text in project_files().items():
        if not name.endswith(".md") or name == "data/model_card.md":
            continue
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            if "://" not in target and not ((ROOT / name).parent / target).exists():
                broken.append((name, target))
    assert broken == []


def test_the_wheel_carries_every_room_and_every_file_of_data():
    settings = pyproject()["tool"]["setuptools"]
    rooms = {path.parent.relative_to(ROOT).as_posix() for path in LIBRARY}
    packages = {name.replace("/", ".") for name in rooms}
    assert set(settings["packages"]) == packages | {"conpet_lib.data"}
    data = ROOT / settings["package-dir"]["conpet_lib.data"]
    carried = set()
    for pattern in settings["package-data"]["conpet_lib.data"]:
        carried.update(path.relative_to(ROOT).as_posix() for path in data.glob(pattern))
    tracked = {name for name in listed_files() if name.startswith("data/")}
    assert sorted(tracked - carried) == []


def test_conda_make_and_the_workflow_install_one_list_of_dependencies_with_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    packages = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert {re.match(r"[\w-]+", package)[0] for package in packages} == {"python", "pip"}
    assert sorted(pip) == ["--constraint constraints.txt", "--editable .[notebooks,test,dev]"]
    for name in ("Makefile", ".github/workflows/checks.yml", "README.md", "CONTRIBUTING.md"):
        installs = [line for line in (ROOT / name).read_text().splitlines() if "--editable" in line]
        assert installs, name
        for line in installs:
            assert "--constraint constraints.txt" in line and ".[notebooks,test,dev]" in line, name


def requirements() -> list[Requirement]:
    """All that the project may need: the required dependencies and those of all extras."""
    project = pyproject()["project"]
    lines = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        lines.extend(extra)
    return [Requirement(line) for line in lines]


def test_every_dependency_is_a_range_with_a_reason_and_a_pin_that_it_allows():
    text = (ROOT / "pyproject.toml").read_text()
    for wanted in requirements():
        assert not any(part.operator == "==" for part in wanted.specifier), wanted
        assert wanted.specifier.contains(pins()[canonicalize_name(wanted.name)]), wanted
        assert re.search(rf'^    "{re.escape(str(wanted))}", +# \w', text, re.MULTILINE), wanted


def test_torch_is_a_range_for_a_site_that_has_one_and_one_version_for_everybody_else():
    (torch,) = [wanted for wanted in requirements() if wanted.name == "torch"]
    assert torch.specifier.contains("2.8.0") and pins()["torch"] == "2.13.0"
    assert "--constraint constraints.txt torch" in (ROOT / "Makefile").read_text()


def test_the_licence_stands_in_full_and_all_documents_name_the_same_one():
    project = pyproject()["project"]
    licence = (ROOT / "LICENSE").read_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert "Apache License" in licence and "END OF TERMS AND CONDITIONS" in licence
    assert "The ConPET Workbench developers" in licence
    assert project["license"] == citation["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE", "NOTICE"]
    assert project["version"] == citation["version"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()
    assert "Princeton University" in (ROOT / "NOTICE").read_text()


def test_nothing_is_stored_as_a_pickle():
    words = ("pickle", "torch.load(", "torch.save(", "joblib.load", "joblib.dump", "allow_pickle")
    assert [
        (path.name, word) for path in LIBRARY for word in words if word in path.read_text()
    ] == []


def test_the_library_meets_the_gates_of_the_house():
    faults, density = check_house.check(ROOT / "conpet_lib")
    assert {gate: places for gate, places in faults.items() if places} == {}
    assert density <= check_house.MOST_NODES_A_LINE


def test_the_scripts_meet_the_gates_of_the_house():
    faults, density = check_house.check(ROOT / "scripts")
    assert {gate: places for gate, places in faults.items() if places} == {}
    assert density <= check_house.MOST_NODES_A_LINE


def test_the_hooks_before_a_commit_run_the_same_steps_as_the_check():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (repository,) = config["repos"]
    hooks = [hook["entry"].replace(" --force-exclude", "") for hook in repository["hooks"]]
    steps = [" ".join(["python", *step]) for step in COMMANDS["check"].steps]
    assert repository["repo"] == "local" and hooks == steps


def test_a_command_without_a_checkout_says_what_it_needs(tmp_path):
    for command in COMMANDS.values():
        assert "project's folder" in what_is_missing(command, tmp_path)
        assert what_is_missing(command, ROOT) == ""
    unknown = replace(COMMANDS["lab"], needs="a_package_that_is_not_there")
    assert '".[notebooks,test,dev]"' in what_is_missing(unknown, ROOT)


def test_no_file_holds_a_path_of_one_machine_or_an_unexpected_host():
    found = [
        (name, match) for name, text in project_files().items() for match in MACHINE.findall(text)
    ]
    found += [
        (name, host)
        for name, text in project_files().items()
        for host in re.findall(r"https?://([\w.-]+\w)", text)
        if host not in HOSTS
    ]
    assert found == []


def words(text: str) -> list[str]:
    """The words of a text, also of a notebook's: line ends written as \\n part words."""
    return re.findall(r"[a-z]+", text.replace("\\n", " ").lower())


def windows(text: str, size: int) -> Iterator[tuple[str, ...]]:
    """All runs of `size` words."""
    known = words(text)
    return zip(*(known[start:] for start in range(size)))


def definitions() -> set[tuple[str, ...]]:
    """The first six words of each of WordNet's definitions that has as many."""
    try:
        lines = (asset_folder("wordnet") / "data.noun").read_text(encoding="utf-8").splitlines()
    except ConpetError as error:
        pytest.skip(f"WordNet cannot be had: {str(error).splitlines()[0]}")
    glosses = (line.split("|", 1)[1].split(";")[0] for line in lines if not line.startswith("  "))
    return {run for gloss in glosses for run in [next(windows(gloss, 6), None)] if run}


def quotes(runs: set[tuple[str, ...]], size: int, texts: dict[str, str]) -> list[tuple[str, str]]:
    return [
        (name, " ".join(run))
        for name, text in texts.items()
        for run in windows(text, size)
        if run in runs
    ]


def test_no_definition_of_wordnet_stands_in_a_file_or_a_notebook_output():
    runs = definitions()
    one = " ".join(next(iter(runs)))
    half = json.dumps(["A cell:\n" + one[: one.index(" ")] + "\n", one[one.index(" ") :].upper()])
    assert quotes(runs, 6, {"a notebook": half}) == [
        ("a notebook", one)
    ]  # the search finds what it should
    assert quotes(runs, 6, project_files()) == []


def test_no_sentence_of_the_measurement_corpora_stands_in_a_file(shared_data):
    fewrel = json.loads((shared_data / "fewrel16" / "val_wiki.json").read_text(encoding="utf-8"))
    sentences = [" ".join(record["tokens"]) for records in fewrel.values() for record in records]
    fewnerd = (shared_data / "fewnerd_inter" / "part_a.txt").read_text(encoding="utf-8")
    sentences += [re.sub(r"\t.*\n?", " ", sentence) for sentence in fewnerd.split("\n\n")]
    runs = {run for sentence in sentences for run in windows(sentence, 8)}
    assert len(runs) > 100_000 and quotes(runs, 8, {"one": f"> {sentences[0]}"})
    assert quotes(runs, 8, project_files()) == []
