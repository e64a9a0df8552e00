"""Matrix explorer: the accuracy matrix as buttons, and what was lost behind each.

In: a run. Out: the test examples that a stage has forgotten, as keys and labels.

May import `runs`. Trains nothing and knows no corpus. Start at `MatrixExplorer`.
"""

import pandas as pd
import seaborn as sns
from ipywidgets import Button, GridBox, Label

from conpet_lib.runs.run import Run
from conpet_lib.widgets.caller import run_code
from conpet_lib.widgets.controls import number
from conpet_lib.widgets.panel import Panel

COLOURS = sns.color_palette("cividis", 101).as_hex()  # a colour for each whole percent


class MatrixExplorer(Panel):
    """The accuracy matrix (%) as buttons: press one to list what was lost there.

    Args:
        run: A run with at least one stage done.
        stage: The row that is chosen at first; 0: the last.
        task: The column that is chosen at first.

    Attributes:
        lost: The test examples of the task that were right once and are wrong after the stage, by
            key and label, as `Run.forgotten` gives them.
        buttons: A button for each cell, by stage and task.
    """

    lost: pd.DataFrame

    def __init__(self, run: Run, stage: int = 0, task: int = 1):
        self.run = run
        self.buttons: dict[tuple[int, int], Button] = {}
        percents = (100 * run.accuracy_matrix).round()
        last = len(percents)
        tasks = [_heading(f"task {number}", 1, number + 1) for number in percents]
        stages = [_heading(f"stage {number}", number + 1, 1) for number in percents]
        for (row, column), percent in percents.stack().dropna().items():
            self._add_button(row, column, percent)
        grid = GridBox(
            [*tasks, *stages, *self.buttons.values()],
            layout={"grid_gap": "1px", "justify_content": "flex-start"},
        )
        controls = {
            "stage": number(stage or last, "after stage", "a row", low=1, high=last, slider=last),
            "task": number(task, "task", "a column", low=1, high=last, slider=last),
        }
        super().__init__(controls, grid)

    def choose(self, stage: int, task: int) -> None:
        """Choose a cell, as a press on its button does.

        Args:
            stage: Its row, from 1.
            task: Its column, from 1.
        """
        self.controls["stage"].value = stage
        self.controls["task"].value = task

    def write_code(self) -> str:
        """Write the call that lists the same examples."""
        run = run_code(self.run, self.page)
        return f"{run}.forgotten(task={self.config['task']}, stage={self.config['stage']})"

    def show(self) -> None:
        """List what was lost in the chosen cell."""
        stage = self.config["stage"]
        task = self.config["task"]
        if task > stage:
            raise ValueError(f"Task {task} comes after stage {stage}: choose a task up to {stage}.")
        self.lost = self.run.forgotten(task, stage)
        self.tabulate(self.lost)
        if (stage, task) not in self.buttons:
            self.say(f"Task {task} has no test rows.")
            return
        self.say(
            f"After stage {stage}, {len(self.lost)} test rows of task {task} "
            "that were right are wrong."
        )

    def _add_button(self, stage: int, task: int, percent: float) -> None:
        """Add the button of a cell, below and beside the headings."""
        tip = f"after stage {stage}, task {task}: {percent:.0f} % right"
        # cividis runs from dark to light: on its dark half black text could not be read
        text_colour = "black" if percent > 45 else "white"
        style = {"button_color": COLOURS[int(percent)], "text_color": text_colour}
        layout = {"width": "3.2em", "grid_area": _grid_area(stage + 1, task + 1)}
        button = Button(description=f"{percent:.0f}", tooltip=tip, style=style, layout=layout)
        button.on_click(lambda pressed: self.choose(stage, task))
        self.buttons[stage, task] = button


def _heading(text: str, row: int, column: int) -> Label:
    """The name of a row or a column of the grid."""
    return Label(text, layout={"grid_area": _grid_area(row, column)})


def _grid_area(row: int, column: int) -> str:
    """A place in the grid, from 1, as CSS; the view would drop `grid_row` and `grid_column`."""
    return f"{row} / {column}"
