"""Run browser: list the runs under a folder, choose some, compare their curves.

In: a folder. Out: the chosen runs.

May import `analysis`, `runs` and `plots`. Trains nothing. Start at `RunBrowser`.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from conpet_lib.analysis.tables import runs_table
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import user_path
from conpet_lib.plots import average_curves, run_names
from conpet_lib.runs.run import Run, load_run
from conpet_lib.widgets.caller import new_name
from conpet_lib.widgets.controls import list_box, text_box
from conpet_lib.widgets.panel import Panel


class RunBrowser(Panel):
    """List the runs under a folder by what differs between them, choose some, compare them.

    Args:
        folder: Where the runs lie, at any depth.
        containing: Part of a run's folder, learner or name; "" lists all.
        runs: Runs that are chosen at first, by their folders as seen from `folder`.

    Attributes:
        SHOWN: Columns of the table.
        all_runs: All runs that can be read, as `runs_table` gives them, by their folders; with a
            column `name`, which says how each differs from the others.
        runs: The chosen runs, loaded.
    """

    SHOWN = (
        "name",
        "rank",
        "seed",
        "stages",
        "average accuracy",
        "forgetting",
        "steps",
        "seconds",
    )

    def __init__(self, folder: str | Path, containing: str = "", runs: tuple[str, ...] = ()):
        self.folder = folder
        self.runs: list[Run] = []
        paths = sorted(path.parent for path in user_path(folder).rglob("run.json"))
        readable, _ = _loaded(paths)
        self.all_runs = self._table(readable)
        controls = {
            "containing": text_box(containing, "only with", "a part of a run's folder or name"),
            "runs": list_box(
                runs,
                "runs",
                "Ctrl for several: click, or arrows and space",
                _options(self.all_runs),
            ),
        }
        super().__init__(controls)

    def show(self) -> None:
        """List the runs that match; of the chosen ones, draw the curves."""
        matching = self._matching_runs()
        chosen = self._choose_among(matching)
        self.hide_picture()
        # They are loaded anew, because one may still be trained.
        self.runs, problems = _loaded(Path(folder) for folder in matching.loc[chosen, "folder"])
        listed = self._table(self.runs) if chosen else matching
        columns = [name for name in self.SHOWN if name in listed]
        self.tabulate(listed[columns].convert_dtypes().round(3))
        drawn = [run for run in self.runs if run.record.stages_done]
        self.say(" ".join([*problems, *_without_curve(self.runs)]))
        if not drawn:
            self.code = f"cp.runs_table({str(self.folder)!r})"
            return
        runs = new_name("runs", self.page)
        folders = [str(run.folder) for run in drawn]
        loading = f"{runs} = [cp.load_run(folder) for folder in {folders!r}]"
        self.code = f"{loading}\nplots.average_curves({runs})"
        self.draw(average_curves(drawn))

    def _table(self, runs: list[Run]) -> pd.DataFrame:
        """The runs that can be read, a row each, by their folders as seen from that of all."""
        table = runs_table(runs)
        parent = user_path(self.folder)
        table.index = [Path(run).relative_to(parent).as_posix() for run in table["folder"]]
        table["name"] = run_names(runs) if runs else []
        return table[table["problem"] == ""]

    def _matching_runs(self) -> pd.DataFrame:
        """The runs whose folder, learner or name contains the words that are asked for."""
        runs = self.all_runs
        if runs.empty:  # its table has no column of learners
            return runs
        words = self.config["containing"]
        about = zip(runs.index, runs["learner"], runs["name"])
        return runs[[words in " ".join(each) for each in about]]

    def _choose_among(self, matching: pd.DataFrame) -> list[str]:
        """Offer these runs; the chosen ones that are still among them, which stay chosen."""
        chooser = self.controls["runs"]
        options = _options(matching)
        chosen = [name for name in chooser.value if name in matching.index]
        if list(chooser.options) != options:
            chooser.value = ()  # the view fails on a choice that is gone
            chooser.options = options
            chooser.value = chosen
        return chosen


def _options(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """What a list shows of each run, and the folder by which it is chosen."""
    return [(f"{name} ({folder})", folder) for folder, name in runs["name"].items()]


def _without_curve(runs: list[Run]) -> list[str]:
    """What is said of runs that are just being trained, and have no curve yet."""
    named = zip(run_names(runs), runs) if runs else []
    return [
        f"{name}: no stage is done yet, so it has no curve."
        for name, run in named
        if not run.record.stages_done
    ]


def _loaded(folders: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """The runs in these folders, and what is wrong with those that cannot be read."""
    runs = []
    problems = []
    for folder in folders:
        try:
            runs.append(load_run(folder))
        except ConpetError as error:
            problems.append(str(error))
    return runs, problems
