"""Notebooks: run the pages and keep their outputs, in a form that code hosts show.

In: notebook files. Out: the same files with fresh outputs, and what a page needs (minutes, memory) in its first
cell. Knows nothing of learning. `python scripts/run_notebooks.py 02_static` runs one page, without names all;
each as if it were the first one opened: assets are there, runs and prefixes are not.
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
NEEDS = re.compile(
    r"\*\*What it needs\*\*.*"
)  # one line of a page's first cell, written by `execute`
ROW = re.compile(
    r"^(\| (\d\d) [^|]+\|[^|]+\|) [\d.]+ \|$", re.MULTILINE
)  # of the map: page, what, minutes
HIDDEN = "no-output"  # tag of cells that show corpus text: not kept
WIDGET = "application/vnd.jupyter.widget-view+json"  # a view without its state breaks a page on code hosts


def execute(path: Path, cache: Path | None = None, timeout: int = 600) -> NotebookNode:
    """The page after a run in a new kernel, fit to keep; the file is not changed.

    Args: `cache`, the cache folder that the page uses (default: a new one, with the assets of the user's);
        `timeout`, seconds a cell may take.
    Raises: nbclient's CellExecutionError if a cell fails.
    """
    page, peak, ended, start = (
        nbformat.read(path, as_version=4),
        [0],
        threading.Event(),
        time.perf_counter(),
    )
    with tempfile.TemporaryDirectory() as own:
        if cache is None:
            cache = Path(own)
            (cache_folder() / "assets").mkdir(parents=True, exist_ok=True)
            (cache / "assets").symlink_to((cache_folder() / "assets").resolve())
        client = nbclient.NotebookClient(
            page,
            timeout=timeout,
            kernel_name="python3",
            coalesce_streams=True,
            resources={"metadata": {"path": str(path.parent)}},
        )
        threading.Thread(target=watch, args=(client, peak, ended), daemon=True).start()
        try:  # tqdm.auto draws a text bar where a variable starts with SPYDER; a widget bar could not be kept
            client.execute(
                env={
                    **os.environ,
                    "CONPET_CACHE": str(cache),
                    "MPLBACKEND": "agg",
                    "SPYDER_BARS": "text",
                }
            )
        finally:
            ended.set()
        minutes = (time.perf_counter() - start) / 60
        tidy(page, {str(cache): "<cache>", str(FOLDER.parent): "<project>", str(Path.home()): "~"})
    page.cells[0].source = NEEDS.sub(
        f"**What it needs**: {minutes:.1f} minutes on {os.cpu_count()} cores when it is the first page you run (less "
        f"afterwards: runs are kept and loaded), {peak[0] / 2**30:.1f} GiB of memory.",
        page.cells[0].source,
    )
    nbformat.validate(page)
    return page


def watch(client: nbclient.NotebookClient, peak: list[int], ended: threading.Event) -> None:
    """Note the largest memory of the kernel's process, ten times a second."""
    while not ended.wait(0.1):
        number = getattr(getattr(client.km, "provisioner", None), "pid", None)
        if number and psutil.pid_exists(number):
            peak[0] = max(peak[0], psutil.Process(number).memory_info().rss)


def tidy(page: NotebookNode, places: dict[str, str]) -> None:
    """Drop what differs from machine to machine, what breaks a code host's view, and corpus text."""
    page.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python"},
    )
    for cell in page.cells:
        cell.metadata.pop("execution", None)
        if HIDDEN in cell.metadata.get("tags", []):
            cell.outputs = []
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.name = "stdout"  # a progress bar is no error
            output.get("data", {}).pop(WIDGET, None)
            texts = output.get("data", output)
            for kind in [kind for kind in texts if kind.startswith("text")]:
                for place, name in places.items():
                    texts[kind] = texts[kind].replace(place, name)


def needed(folder: Path = FOLDER) -> dict[str, str]:
    """The minutes that each page says it needs, by the page's number."""
    return {
        path.stem[:2]: re.search(r"needs\*\*: (\d+\.\d) minutes", path.read_text(encoding="utf-8"))[
            1
        ]
        for path in sorted(folder.glob("*.ipynb"))
    }


def write_map(folder: Path = FOLDER) -> None:
    """Write each page's minutes into the map of page 00."""
    path, minutes = folder / "00_start_here.ipynb", needed(folder)
    page = nbformat.read(path, as_version=4)
    for cell in page.cells:
        cell.source = ROW.sub(lambda row: f"{row[1]} {minutes[row[2]]} |", cell.source)
    write_atomically(path, lambda name: nbformat.write(page, name))


if __name__ == "__main__":
    for file in sorted(FOLDER.glob("*.ipynb")):
        if file.stem in sys.argv[1:] or not sys.argv[1:]:
            done = execute(file)
            write_atomically(file, lambda name, page=done: nbformat.write(page, name))
            print(f"{file.stem}: {NEEDS.search(done.cells[0].source)[0]}", flush=True)
    write_map()
