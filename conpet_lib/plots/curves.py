"""Curves: accuracy against the stage.

In: runs. Out: Axes with one line per run, or one panel per run. Knows nothing of how a run was
trained. Start at `forgetting_curves`; `draw_lines` is what all figures with stages share.
"""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from conpet_lib.core.arguments import Positive, checked
from conpet_lib.core.errors import ConpetError
from conpet_lib.plots.names import as_runs, run_looks
from conpet_lib.plots.style import Look, at_left, axes, panels_of, titled, write_near

if TYPE_CHECKING:
    from conpet_lib.runs.run import Run

TOP = 103  # percent; a marker at 100 % is not cut off
NAMES_THAT_FIT = 16  # above each other at the lines' ends
LONGEST_NAME = 30  # signs of a line of a name, at a line's end and above a panel


class Line(NamedTuple):
    """One line of a figure with stages.

    Attributes:
        values: `(stages,)`, parts of 1, indexed by the stage.
        look: Its name, which is written at its end, its colour and its marker.
    """

    values: pd.Series
    look: Look


def draw_lines(
    ax: Axes,
    lines: Sequence[Line],
    stages: int,
    ylabel: str,
    title: str,
    low: float = 0,
    **style: Any,
) -> Axes:
    """Draw lines in percent against the stage, with the name of each at its end.

    Args:
        ax: The panel to draw into.
        lines: The lines, in parts of 1; those drawn later lie above.
        stages: The last stage on the x axis.
        ylabel: What the y axis shows, with its unit.
        title: What the panel shows.
        low: Where the y axis begins, in percent; it ends at 100.
        **style: Passed on to every line, such as `linewidth`.

    Returns:
        The same Axes.
    """
    ax.set(ylim=(low, TOP), xlim=(0.8, stages + 0.2))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    for values, look in lines:
        ax.plot(values.index, 100 * values, color=look.color, marker=look.marker, **style)
    _name_ends(ax, lines, (TOP - low) / NAMES_THAT_FIT)
    return titled(ax, title, "stage (tasks seen)", ylabel)


def _name_ends(ax: Axes, lines: Sequence[Line], gap: float) -> None:
    """Write each line's name at its end, from the lowest up, no two closer than `gap` percent."""
    free_from = -np.inf
    for values, look in sorted(lines, key=lambda line: line.values.iloc[-1]):
        name = _wrapped(look.name)
        last_stage = values.index[-1]
        line_height = 100 * values.iloc[-1]
        half_height = gap * (1 + name.count("\n")) / 2
        name_height = max(line_height, free_from + half_height)
        free_from = name_height + half_height
        ax.annotate(
            name,
            (last_stage, line_height),
            (last_stage + 0.15, name_height),
            color=look.color,
            va="center",
            fontsize=13,
            annotation_clip=False,
        )


def _wrapped(name: str) -> str:
    """A name in lines that are short enough to stand beside a curve or above a panel."""
    return "\n".join(textwrap.wrap(name, LONGEST_NAME))


@checked
def average_curves(runs: "Sequence[Run] | Run", upto: Positive | None = None) -> Axes:
    """Average accuracy against the stage, one line per run with its name at its end.

    Args:
        runs: The runs, or one; the x axis has the stages of the longest stream.
        upto: The last stage to draw, from 1; None draws all that are done.

    Returns:
        The Axes.

    Raises:
        ConpetError: If there is no run, or nothing is there to be drawn of one.
    """
    runs = as_runs(runs)
    if upto is not None and upto < 1:
        raise ConpetError(f"upto={upto}: the first stage is 1.")
    lines = [
        Line(run.average_accuracy.loc[:upto], look) for run, look in zip(runs, run_looks(runs))
    ]
    return draw_lines(
        axes()[0],
        lines,
        max(len(run.record.stream.tasks) for run in runs),
        "average accuracy (%)",
        "What is left after each stage, over all tasks seen",
    )


@checked
def forgetting_curves(runs: "Sequence[Run] | Run") -> Axes:
    """Accuracy on each task (thin) and their mean (thick) against the stage, one panel per run.

    Args:
        runs: The runs, three in a row at most, or one.

    Returns:
        The Axes of the first panel; `.figure` has all of them.

    Raises:
        ConpetError: If there is no run, or no stage of one is done.
    """
    runs = as_runs(runs)
    panels = panels_of(len(runs), 5.2, 4.8, 0.8)
    for ax, run, look in zip(panels, runs, run_looks(runs)):
        ylabel = "accuracy (%)" if at_left(ax) else ""
        _draw_forgetting(ax, run, look, ylabel)
    legend = [
        "thin lines: each task, numbered where it is learned",
        "thick line: average over the tasks seen",
    ]
    # Under a single panel the legend is too wide for one line.
    separator = "\n" if len(panels) == 1 else "; "
    panels[0].figure.supxlabel(separator.join(legend), fontsize=12)
    return panels[0]


def _draw_forgetting(ax: Axes, run: "Run", look: Look, ylabel: str) -> None:
    """Draw one run: a thin line per task, and the average over them."""
    matrix = 100 * run.accuracy_matrix
    shades = sns.color_palette("crest", len(matrix))
    for task, shade in zip(matrix, shades):
        ax.plot(
            matrix.index,
            matrix[task],
            color=shade,
            linewidth=1.5,
            alpha=0.9,
            marker=".",
            markersize=6,
        )
        learned = matrix.loc[task, task]  # task k is learned in stage k
        if not np.isnan(learned):  # it is for a task without test rows
            write_near(ax, str(task), (task, learned), 5, color=shade)
    average = run.average_accuracy
    title = f"{_wrapped(look.name)}\nends at {100 * average.iloc[-1]:.1f} %"
    if len(matrix) > 1:
        title += f", forgets {100 * run.forgetting:.1f} points"
    if run.tested_in_words:
        title += f"\n{run.tested_in_words.strip()}"
    thick_line = Line(average, look._replace(name=""))  # the panel's title has the name
    draw_lines(ax, [thick_line], len(matrix), ylabel, title, linewidth=4, markersize=9)
