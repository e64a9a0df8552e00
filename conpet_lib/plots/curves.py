"""Plots: figures that read from the last row of a room, also for the colour-blind.
In: runs, or tables of accuracies as parts of 1. Out: matplotlib Axes. Figures are made without pyplot's global state,
so that widgets may draw from a thread. May import `metrics`, trains nothing. Start at `forgetting_curves`."""

from collections.abc import Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from conpet_lib.plots.style import NEAR, axes, looks, titled


def draw_lines(
    ax: Axes, lines: Sequence[tuple], stages: int, ylabel: str, title: str, low: float = 0, **look
) -> Axes:
    """Lines (parts of 1 by stage, name, colour, marker) in percent from `low` to 100, each one's name at its end, moved
    off others'. `stages` is the last on the axis; `look` is of all lines."""
    ax.set(ylim=(low, 103), xlim=(0.8, stages + 0.2))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    for values, _, color, marker in lines:
        ax.plot(values.index, 100 * values, color=color, marker=marker, **look)
    taken, gap = -np.inf, (103 - low) / 16
    for values, name, color, _ in sorted(lines, key=lambda line: line[0].iloc[-1]):
        end = values.index[-1], 100 * values.iloc[-1]
        taken = max(end[1], taken + gap)
        ax.annotate(
            name,
            end,
            (end[0] + 0.15, taken),
            color=color,
            va="center",
            fontsize=13,
            annotation_clip=False,
        )
    return titled(ax, title, "stage (tasks seen)", ylabel)


def average_curves(runs: Sequence, upto: int | None = None) -> Axes:
    """Average accuracy against the stage, up to a stage (default: the last), one line a run, its name at the end."""
    lines = [(run.average_accuracy.loc[:upto], *looks(run)) for run in runs]
    return draw_lines(
        axes()[0],
        lines,
        max(len(run.record.stream.tasks) for run in runs),
        "average accuracy (%)",
        "What is left after each stage, over all tasks seen",
    )


def forgetting_curves(runs: Sequence) -> Axes:
    """A panel a run: accuracy on each task by stage (thin), and mean (thick). Returns the first; `.figure` has all."""
    panels = axes(5.2 * len(runs) + 0.8, 4.8, len(runs))
    for ax, run in zip(panels, runs):
        name, color, marker = looks(run)
        matrix, average = 100 * run.accuracy_matrix, run.average_accuracy
        for task, shade in zip(matrix, sns.color_palette("crest", len(matrix))):
            ax.plot(
                matrix.index,
                matrix[task],
                color=shade,
                linewidth=1.5,
                alpha=0.9,
                marker=".",
                markersize=6,
            )
            ax.annotate(str(task), (task, matrix.loc[task, task]), (0, 5), color=shade, **NEAR)
        lost = f", forgets {100 * run.forgetting:.1f} points" if len(matrix) > 1 else ""
        draw_lines(
            ax,
            [(average, "", color, marker)],
            len(matrix),
            "accuracy (%)" if ax is panels[0] else "",
            f"{name}\nends at {100 * average.iloc[-1]:.1f} %{lost}",
            linewidth=4,
            markersize=9,
        )
    says = [
        "thin lines: each task, numbered where it is learned",
        "thick line: average over the tasks seen",
    ]
    panels[0].figure.supxlabel(("\n" if len(panels) == 1 else "; ").join(says), fontsize=12)
    return panels[0]
