"""The house rules: what the README and the pins promise, and what must not stand in the project."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conpet_lib.core.assets import asset_folder
from conpet_lib.core.errors import ConpetError

ROOT = Path(__file__).parents[1]
LIBRARY = sorted((ROOT / "conpet_lib").rglob("*.py"))
HOSTS = {
    "arxiv.org",
    "creativecommons.org",
    "doi.org",
    "download.pytorch.org",
    "github.com",
    "huggingface.co",
    "wordnet.princeton.edu",
    "www.w3.org",
}  # that a text of ours may link to
MACHINE = re.compile(r"(?<![\w./])/(?:work|root|home|Users|tmp/w)/\S*")


def project_files() -> dict[str, str]:
    """Path -> text of each text file that git tracks or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    texts = {}
    for name in filter(None, listed.stdout.split("\0")):
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


def test_the_readme_names_every_file_of_the_library_and_of_the_tests_and_no_other():
    named = set(re.findall(r"\w+\.py\b", (ROOT / "README.md").read_text()))
    files = {path.name for path in [*LIBRARY, *(ROOT / "tests").glob("*.py")]}
    assert sorted(files - named) == [], "not in the README"
    assert sorted(named - {path.name for path in map(Path, project_files())}) == [], (
        "in the README only"
    )


def test_conda_and_pip_take_one_list_of_dependencies_and_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    packages = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert {re.match(r"[\w-]+", package)[0] for package in packages} == {"python", "pip"}
    assert sorted(pip) == ["--constraint constraints.txt", "--editable .[test]"]


def test_every_dependency_has_a_pin_that_it_allows():
    project = pyproject()["project"]
    for line in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        wanted = Requirement(line)
        assert wanted.specifier.contains(pins()[canonicalize_name(wanted.name)]), line


def test_torch_is_the_same_version_for_everybody():
    assert "torch==2.13.0" in pyproject()["project"]["dependencies"] and pins()["torch"] == "2.13.0"


def test_nothing_is_stored_as_a_pickle():
    words = ("pickle", "torch.load(", "torch.save(", "joblib.load", "joblib.dump", "allow_pickle")
    assert [
        (path.name, word) for path in LIBRARY for word in words if word in path.read_text()
    ] == []


def test_a_file_reads_in_ten_minutes_and_the_library_in_an_afternoon():
    lines = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in LIBRARY}
    assert {name: count for name, count in lines.items() if count > 300} == {}
    assert sum(lines.values()) <= 4_000


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
