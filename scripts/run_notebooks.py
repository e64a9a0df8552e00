"""Notebooks: run the pages and keep their outputs, in a form that code hosts show.

Usage: `make notebooks`, or `python scripts/run_notebooks.py 02_static` for one page; without names
it runs all.

In: notebook files. Out: the same files with fresh outputs, and what a page needs (minutes, memory)
in its first cell. Each page is run as if it were the first one opened: assets are there, runs and
prefixes are not. Knows nothing of learning. Start at `execute`.
"""

import os
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbclient
import nbformat
import psutil
from nbformat import NotebookNode

from conpet_lib.core.assets import cache_folder
from conpet_lib.core.files import write_atomically

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
# One line of a page's first cell, written by `execute`.
NEEDS = re.compile(r"\*\*What it needs\*\*.*")
NEEDED_MINUTES = re.compile(r"needs\*\*: (\d+\.\d) minutes")
# A row of the map on page 00: the page's number, what it is about, its minutes.
ROW = re.compile(r"^(\| (\d\d) [^|]+\|[^|]+\|) [\d.]+ \|$", re.MULTILINE)
# A line of a bar: the first word of what it is of, if there is one, percents, drawing and times.
BAR_LINE = re.compile(r"^(?:(\S+) .*)?\s*\d+%\|.*\[.*\]$")
HIDDEN = "no-output"  # tag of cells that show corpus text: not kept
# A view of a widget without the widget's state breaks a page on code hosts.
WIDGET = "application/vnd.jupyter.widget-view+json"


class MemoryWatch:
    """Watches the memory of a kernel's process while its block runs, ten times a second.

    Attributes:
        peak: The largest resident memory seen so far, in bytes.
    """

    def __init__(self, client: nbclient.NotebookClient):
        self.client = client
        self.peak = 0
        self._ended = threading.Event()

    def __enter__(self) -> "MemoryWatch":
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            provisioner = getattr(self.client.km, "provisioner", None)
            process = getattr(provisioner, "pid", None)  # none until the kernel has started
            if process and psutil.pid_exists(process):
                self.peak = max(self.peak, psutil.Process(process).memory_info().rss)


def execute(path: Path, cache: Path | None = None, timeout: int = 600) -> NotebookNode:
    """The page after a run in a new kernel, fit to keep; the file is not changed.

    Args:
        path: The notebook file.
        cache: The cache folder that the page uses; None makes a new one, with the user's assets.
        timeout: Seconds that a cell may take.

    Raises:
        CellExecutionError: nbclient's, if a cell fails.
    """
    page = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as own:
        if cache is None:
            cache = Path(own)
            link_assets(cache)
        peak = run_cells(page, path.parent, cache, timeout)
        minutes = (time.perf_counter() - start) / 60
        tidy(page, {str(cache): "<cache>", str(FOLDER.parent): "<project>", str(Path.home()): "~"})
    needs = (
        f"**What it needs**: {minutes:.1f} minutes on {os.cpu_count()} cores when it is the first "
        "page you run (less afterwards: runs are kept and loaded), "
        f"{peak / 2**30:.1f} GiB of memory."
    )
    first = page.cells[0]
    first.source = NEEDS.sub(needs, first.source)
    nbformat.validate(page)
    return page


def link_assets(cache: Path) -> None:
    """Let a new cache folder have the assets of the user's, which are large."""
    assets = cache_folder() / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    (cache / "assets").symlink_to(assets.resolve())


def run_cells(page: NotebookNode, folder: Path, cache: Path, timeout: int) -> int:
    """Run the cells of a page in place; returns the peak memory of the kernel in bytes."""
    client = nbclient.NotebookClient(
        page,
        timeout=timeout,
        kernel_name="python3",
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    # tqdm.auto draws a text bar where the name of a variable starts with SPYDER; a bar that is a
    # widget could not be kept.
    settings = {"CONPET_CACHE": str(cache), "MPLBACKEND": "agg", "SPYDER_BARS": "text"}
    with MemoryWatch(client) as watch:
        client.execute(env={**os.environ, **settings})
    return watch.peak


def tidy(page: NotebookNode, names: dict[str, str]) -> None:
    """Drop what differs from machine to machine, what breaks a code host's view, and corpus text.

    Args:
        page: The page, which is changed in place.
        names: What to write in the place of each path.
    """
    page.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python"},
    )
    for cell in page.cells:
        cell.metadata.pop("execution", None)
        if HIDDEN in cell.metadata.get("tags", []):
            cell.outputs = []
        for output in cell.get("outputs", []):
            tidy_output(output, names)


def tidy_output(output: NotebookNode, names: dict[str, str]) -> None:
    """Do the same for one output of a cell."""
    if output.output_type == "stream":
        output.name = "stdout"  # a progress bar is no error
        output.text = ended_bars(output.text)
    output.get("data", {}).pop(WIDGET, None)
    texts = output.get("data", output)  # a stream has its text beside its type
    for kind in texts:
        if kind.startswith("text"):
            for path, name in names.items():
                texts[kind] = texts[kind].replace(path, name)


def ended_bars(text: str) -> str:
    """A text in which only the last state of each bar is left."""
    left: list[str] = []
    for line in text.splitlines(keepends=True):
        bar = BAR_LINE.match(line.rstrip())
        before = BAR_LINE.match(left[-1].rstrip()) if left else None
        if bar and before and before[1] in (None, bar[1]):
            left.pop()
        left.append(line)
    return "".join(left)


def needed(folder: Path = FOLDER) -> dict[str, str]:
    """The minutes that each page says it needs, by the page's number."""
    minutes = {}
    for path in sorted(folder.glob("*.ipynb")):
        match = NEEDED_MINUTES.search(path.read_text(encoding="utf-8"))
        minutes[path.stem[:2]] = match[1]
    return minutes


def write_map(folder: Path = FOLDER) -> None:
    """Write each page's minutes into the map of page 00."""
    path = folder / "00_start_here.ipynb"
    minutes = needed(folder)
    page = nbformat.read(path, as_version=4)
    for cell in page.cells:
        cell.source = ROW.sub(lambda row: f"{row[1]} {minutes[row[2]]} |", cell.source)
    write_page(page, path)


def write_page(page: NotebookNode, path: Path) -> None:
    """Write a notebook file, whole or not at all."""
    write_atomically(path, lambda file: nbformat.write(page, file))


def main(names: list[str]) -> None:
    """Run the pages of these names, or all, and write the map."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not names or path.stem in names:
            page = execute(path)
            write_page(page, path)
            print(f"{path.stem}: {NEEDS.search(page.cells[0].source)[0]}", flush=True)
    write_map()


if __name__ == "__main__":
    main(sys.argv[1:])
