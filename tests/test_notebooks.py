"""The pages: each runs top to bottom and is kept fit for a code host and for a reader."""

import re

import nbformat
import pytest
from run_notebooks import FOLDER, HIDDEN, ROW, WIDGET, ended_bars, execute, needed, tidy, write_map

PAGES = sorted(FOLDER.glob("*.ipynb"))
SAME = "same-output"  # tag of cells whose outputs every run must repeat
TIME = re.compile(
    r"\*\*What it needs\*\*: \d+\.\d minutes on \d+ cores .*, \d+\.\d GiB of memory\."
)
PATHS = re.compile(r"(?:(?<![\w.~<>])/(?:root|home|Users|tmp|var|work|private)/|[A-Z]:\\)")


def kept(path):
    return nbformat.read(path, as_version=4)


def prose(page) -> str:
    return "\n".join(cell.source for cell in page.cells if cell.cell_type == "markdown")


def outputs(page) -> list:
    return [output for cell in page.cells if cell.cell_type == "code" for output in cell.outputs]


def check(page) -> None:
    """What holds of a page that was run, kept or just now."""
    nbformat.validate(page)
    found = outputs(page)
    assert not [output for output in found if output.output_type == "error"]
    assert any("image/png" in output.get("data", {}) for output in found)
    assert (
        not any(WIDGET in output.get("data", {}) for output in found)
        and "widgets" not in page.metadata
    )
    texts = [
        text
        for output in found
        for kind, text in output.get("data", output).items()
        if kind.startswith("text")
    ]
    assert not [text for text in texts if PATHS.search(text)]
    assert not [text for text in texts if "Warning" in text]
    assert TIME.search(page.cells[0].source)


# the pages that train are part of `make test-all`
LONG = [
    pytest.param(path, marks=[pytest.mark.long] if path.stem[:2] > "01" else []) for path in PAGES
]


@pytest.mark.parametrize("path", LONG, ids=lambda path: path.stem)
def test_a_page_runs_from_top_to_bottom(path, pages_cache, wordnet):
    page = execute(path, pages_cache)
    check(page)
    assert [cell.source for cell in page.cells[1:]] == [
        cell.source for cell in kept(path).cells[1:]
    ]
    for now, before in zip(page.cells, kept(path).cells):
        if SAME in now.metadata.get(
            "tags", []
        ):  # counts and names, which no machine's rounding changes
            assert now.outputs and [
                output.get("text", output.get("data")) for output in now.outputs
            ] == [output.get("text", output.get("data")) for output in before.outputs]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_kept_page_has_its_outputs_and_nothing_of_this_machine(path):
    check(kept(path))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_asks_points_and_sums_up(path):
    text = prose(kept(path))
    wanted = [
        "**Goal**",
        "**What it needs**",
        "**Question.**",
        "**Notice**",
        "**Exercise 1**",
        "*Check*",
        "<details>",
    ]
    assert not [part for part in wanted if part not in text]
    summary = text.split("## Summary")[1]
    assert len(re.findall(r"^- ", summary, re.MULTILINE)) == 3
    assert all(
        re.search(r"\(\d+ minutes?\)", line)
        for line in text.splitlines()
        if line.startswith("**Exercise")
    )


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_cells_are_short_and_hold_no_machinery(path):
    for cell in kept(path).cells:
        if cell.cell_type == "code":
            lines = cell.source.splitlines()
            assert len(lines) <= 12
            assert not [
                line for line in lines if re.match(r"\s*(def|for|while|class|with|try)\b", line)
            ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_no_corpus_text_is_kept(path, wordnet):
    page = kept(path)
    assert not [
        cell for cell in page.cells if HIDDEN in cell.metadata.get("tags", []) and cell.outputs
    ]
    written = nbformat.writes(page)
    definitions = {example.sentence or example.text for example in wordnet.examples}
    assert not [text for text in definitions if len(text.split()) >= 6 and text in written]


def test_tidy_drops_views_timings_paths_and_hidden_outputs(tmp_path):
    from nbformat import v4

    output = v4.new_output(
        "display_data", {WIDGET: {"model_id": "1"}, "text/plain": f"folder={tmp_path}/runs"}
    )
    bar = v4.new_output("stream", name="stderr", text=f"100% {tmp_path}")
    cells = [
        v4.new_code_cell("1", outputs=[output, bar], metadata={"execution": {"iopub": "now"}}),
        v4.new_code_cell("2", outputs=[output], metadata={"tags": [HIDDEN]}),
    ]
    page = v4.new_notebook(cells=cells, metadata={"widgets": {"state": {}}})
    tidy(page, {str(tmp_path): "<cache>"})
    nbformat.validate(page)
    assert "widgets" not in page.metadata and "execution" not in page.cells[0].metadata
    assert page.cells[0].outputs[0].data == {"text/plain": "folder=<cache>/runs"}
    assert (
        page.cells[0].outputs[1].text == "100% <cache>"
        and page.cells[0].outputs[1].name == "stdout"
    )
    assert page.cells[1].outputs == []


def test_only_the_last_state_of_each_bar_is_kept():
    states = [
        "task modules: 0-stage-1",
        "0%|          | [00:00<?]",
        "dynamic 5/8 prefix:        50%|#####     | [01:00<01:00]",
        "dynamic 8/8 prefix:       100%|##########| [02:05<00:00]",
        "0%|          | [00:00<?]",
        "static 8/8 module:        100%|##########| [00:47<00:00]",
        "runs: 0 of 4 were there:  25%|##5       | 1/4 [01:57<05:52, 117.45s/it]",
        "runs: 0 of 4 were there: 100%|##########| 4/4 [03:47<00:00, 56.89s/it]",
        "12% of the rows | [of two tasks] are here",
    ]
    text = "\n".join(states)
    assert ended_bars(text).splitlines() == [states[number] for number in (0, 3, 5, 7, 8)]
    assert ended_bars("") == ""


def test_every_page_has_outputs_that_must_not_change_or_shows_what_is_recorded():
    tagged = {
        path.stem[:2]
        for path in PAGES
        for cell in kept(path).cells
        if SAME in cell.metadata.get("tags", [])
    }
    assert tagged == {"01", "02", "03", "04", "06", "08"}


def test_the_map_says_how_long_each_page_takes():
    rows = ROW.findall(prose(kept(PAGES[0])))
    assert [number for _, number in rows] == [path.stem[:2] for path in PAGES[1:]]
    for line, number in rows:
        assert f"{line} {needed()[number]} |" in prose(kept(PAGES[0]))


def test_the_map_follows_a_page_that_takes_longer(tmp_path):
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        (tmp_path / path.name).write_text(
            text.replace("needs**: ", "needs**: 9") if "07" in path.name else text
        )
    write_map(tmp_path)
    assert f"intervals | 9{needed()['07']} |" in prose(kept(tmp_path / PAGES[0].name))


def test_the_pages_are_there_in_order():
    assert [path.stem for path in PAGES] == [
        "00_start_here",
        "01_data",
        "02_static",
        "03_dynamic",
        "04_selector",
        "05_forgetting",
        "06_budgets",
        "07_ablations",
        "08_your_own_data",
    ]
