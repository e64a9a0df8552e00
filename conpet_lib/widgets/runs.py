"""Run browser: list the runs under a folder, choose some, compare their curves.

In: a folder. Out: the chosen runs.

May import `analysis`, `runs` and `plots`. Trains nothing. Start at `RunBrowser`.
"""

from pathlib import Path

import pandas as pd

from conpet_lib.analysis.tables import runs_table
from conpet_lib.plots import average_curves
from conpet_lib.runs.run import load_run
from conpet_lib.widgets.panel import Panel, control


class RunBrowser(Panel):
    """List the runs under a folder by where they lie in it, choose some, compare them.

    Args:
        folder: Where the runs lie, at any depth.
        containing: Part of a run's folder or learner; "" lists all.
        runs: Runs that are chosen at first, by their folders as seen from `folder`.

    Attributes:
        SHOWN: Columns of the table.
        all_runs: All runs that can be read, as `runs_table` gives them, by their folders.
        runs: The chosen runs, loaded.
    """

    SHOWN = (
        "learner",
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
        table = runs_table(folder)
        table.index = [Path(run).relative_to(folder).as_posix() for run in table["folder"]]
        self.all_runs = table[table["problem"] == ""]
        controls = {
            "containing": control(containing, "only with", "a part of a run's folder or learner"),
            "runs": control(
                runs,
                "runs",
                "Ctrl for several: click, or arrows and space",
                list(self.all_runs.index),
            ),
        }
        super().__init__(controls)

    def show(self) -> None:
        """List the runs that match; of the chosen ones, draw the curves."""
        matching = self._matching_runs()
        chosen = self._choose_among(list(matching.index))
        folders = matching.loc[chosen, "folder"].to_list()
        self.runs = [load_run(folder) for folder in folders]
        self._hide_picture()
        listed = matching.loc[chosen] if chosen else matching
        columns = [name for name in self.SHOWN if name in listed]
        self.tabulate(listed[columns].round(3))
        if not self.runs:
            self.code = f"cp.runs_table({str(self.folder)!r})"
            return
        loading = f"runs = [cp.load_run(folder) for folder in {folders!r}]"
        self.code = f"{loading}\nplots.average_curves(runs)"
        self.draw(average_curves(self.runs))

    def _matching_runs(self) -> pd.DataFrame:
        """The runs whose folder or learner contains the words that are asked for."""
        runs = self.all_runs
        if runs.empty:  # its table has no column of learners
            return runs
        words = self.config["containing"]
        matches = [words in f"{name} {learner}" for name, learner in runs["learner"].items()]
        return runs[matches]

    def _choose_among(self, names: list[str]) -> list[str]:
        """Offer these runs; the chosen ones that are still among them, which stay chosen."""
        chooser = self.controls["runs"]
        chosen = [name for name in chooser.value if name in names]
        if list(chooser.options) != names:
            chooser.value = ()  # the view fails on a choice that is gone
            chooser.options = names
            chooser.value = chosen
        return chosen
