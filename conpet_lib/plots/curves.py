"""Curves: accuracy against the stage.

In: runs. Out: Axes with one line per run, or one panel per run. Knows nothing of how a run was
trained. Start at `forgetting_curves`; `draw_lines` is what all figures with stages share.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from conpet_lib.core.arguments import Positive, checked
from conpet_lib.plots.style import SOME, Look, axes, looks, titled, write_near

if TYPE_CHECKING:
    from conpet_lib.runs.run import Run

TOP = 103  # percent; a marker at 100 % is not cut off
NAMES_THAT_FIT = 16  # above each other at the lines' ends


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
    name_height = -np.inf
    for values, look in sorted(lines, key=lambda line: line.values.iloc[-1]):
        last_stage = values.index[-1]
        line_height = 100 * values.iloc[-1]
        name_height = max(line_height, name_height + gap)
        ax.annotate(
            look.name,
            (last_stage, line_height),
            (last_stage + 0.15, name_height),
            color=look.color,
            va="center",
            fontsize=13,
            annotation_clip=False,
        )


@checked
def average_curves(runs: "Annotated[Sequence[Run], SOME]", upto: Positive | None = None) -> Axes:
    """Average accuracy against the stage, one line per run with its name at its end.

    Args:
        runs: The runs; the x axis has the stages of the longest stream.
        upto: The last stage to draw, from 1; None draws all that are done.

    Returns:
        The Axes.
    """
    lines = [Line(run.average_accuracy.loc[:upto], looks(run)) for run in runs]
    return draw_lines(
        axes()[0],
        lines,
        max(len(run.record.stream.tasks) for run in runs),
        "average accuracy (%)",
        "What is left after each stage, over all tasks seen",
    )


@checked
def forgetting_curves(runs: "Annotated[Sequence[Run], SOME]") -> Axes:
    """Accuracy on each task (thin) and their mean (thick) against the stage, one panel per run.

    Args:
        runs: The runs, from left to right.

    Returns:
        The Axes of the first panel; `.figure` has all of them.
    """
    panels = axes(5.2 * len(runs) + 0.8, 4.8, len(runs))
    for ax, run in zip(panels, runs):
        ylabel = "accuracy (%)" if ax is panels[0] else ""
        _draw_forgetting(ax, run, ylabel)
    legend = [
        "thin lines: each task, numbered where it is learned",
        "thick line: average over the tasks seen",
    ]
    # Under a single panel the legend is too wide for one line.
    separator = "\n" if len(panels) == 1 else "; "
    panels[0].figure.supxlabel(separator.join(legend), fontsize=12)
    return panels[0]


def _draw_forgetting(ax: Axes, run: "Run", ylabel: str) -> None:
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
        learned_at = (task, matrix.loc[task, task])  # task k is learned in stage k
        write_near(ax, str(task), learned_at, 5, color=shade)
    look = looks(run)
    average = run.average_accuracy
    title = f"{look.name}\nends at {100 * average.iloc[-1]:.1f} %"
    if len(matrix) > 1:
        title += f", forgets {100 * run.forgetting:.1f} points"
    if run.tested_in_words:
        title += f"\n{run.tested_in_words.strip()}"
    thick_line = Line(average, look._replace(name=""))  # the panel's title has the name
    draw_lines(ax, [thick_line], len(matrix), ylabel, title, linewidth=4, markersize=9)
