"""Lost rows: the test rows that were forgotten, by task and by cause.

In: a run and its stream. Out: the rows, as keys and labels.

May import `analysis`, `runs` and `streams`. Trains nothing. Start at `LostRows`.
"""

import pandas as pd

from conpet_lib.analysis.forgetting import lost_rows
from conpet_lib.runs.run import Run
from conpet_lib.streams.stream import Stream
from conpet_lib.widgets.caller import name_of, new_name, run_code
from conpet_lib.widgets.controls import menu
from conpet_lib.widgets.panel import Panel

ALL = "all"
MOST_LISTED = 12
CAUSES = ("outvoted", "misrouted", "confused", "gone")


class LostRows(Panel):
    """The test rows that were right once and are wrong after the last stage, and why.

    Args:
        run: Any run.
        stream: The stream that it was trained on.
        cause: "outvoted", "misrouted", "confused" or "gone", or "all".
        task: The task, from 1, or "all".

    Attributes:
        rows: All of them, as `cp.lost_rows` gives them.
        shown: Those of the cause and the task that are chosen.
    """

    rows: pd.DataFrame
    shown: pd.DataFrame

    def __init__(self, run: Run, stream: Stream, cause: str = ALL, task: int | str = ALL):
        self.run = run
        self.stream = stream
        self.rows = lost_rows(run, stream)
        tasks = range(1, run.record.stages_done + 1)
        controls = {
            "cause": menu(cause, "lost because", "why a row is wrong now", [ALL, *CAUSES]),
            "task": menu(task, "task", "whose test rows", [ALL, *tasks]),
        }
        super().__init__(controls)

    def write_code(self) -> str:
        """Write the calls that list the same rows."""
        run = run_code(self.run, self.page)
        stream = name_of(self.stream, "stream", self.page)
        rows = new_name("lost", self.page)
        chosen = {name: value for name, value in self.config.items() if value != ALL}
        wanted = " and ".join(f"{name} == {value!r}" for name, value in chosen.items())
        code = f"{rows} = cp.lost_rows({run}, {stream})"
        return f'{code}\n{rows}.query("{wanted}")' if wanted else f"{code}\n{rows}"

    def show(self) -> None:
        """List the rows of the cause and the task that are chosen."""
        shown = self.rows
        for name, value in self.config.items():
            if value != ALL:
                shown = shown[shown[name] == value]
        self.shown = shown
        self.tabulate(shown.head(MOST_LISTED))
        words = f"{len(shown)} of {len(self.rows)} test rows that were right once and are wrong."
        if len(shown) > MOST_LISTED:
            words += f" The first {MOST_LISTED} are listed; `shown` has all."
        self.say(words)
