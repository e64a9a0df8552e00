"""Plots: figures that read from the last row of a room, also for the colour-blind.
In: runs, or tables of accuracies as parts of 1. Out: matplotlib Axes. Figures are made without pyplot's global state,
so that widgets may draw from a thread. May import `metrics`, trains nothing. Start at `forgetting_curves`."""

import textwrap

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from conpet_lib.plots.style import PALETTE, axes, looks, titled


def replayed(run, part: str = "module") -> Axes:
    """How many rows of each task were drawn in each stage, for the `part` "module" or "selector"."""
    counts = run.replayed.query("part == @part").pivot_table(
        "count", "stage", "task", aggfunc="sum", fill_value=0
    )
    ax = counts.plot.bar(
        ax=axes()[0],
        stacked=True,
        width=0.8,
        rot=0,
        edgecolor="white",
        linewidth=0.5,
        ylabel="rows drawn",
        color=sns.color_palette("crest", counts.shape[1]),
    )
    return titled(
        ax, f"{looks(run)[0]}, {part}: rows drawn in each stage, by their task", legend="task"
    )


def stream_picture(stream) -> Axes:
    """Rows of each side of each task, with the task's labels."""
    names = [
        f"{stage}. {textwrap.shorten(', '.join(task.labels), 80)}"
        for stage, task in enumerate(stream, 1)
    ]
    sides = [[len(task.train), len(task.valid), len(task.test)] for task in stream]
    ax = pd.DataFrame(sides, names, ["training", "validation", "test"]).plot.barh(
        ax=axes(11, 1.5 + 0.55 * len(stream))[0],
        stacked=True,
        width=0.8,
        color=PALETTE[:3],
        xlabel="examples",
    )
    ax.invert_yaxis()
    ax.tick_params("y", labelsize=12)
    ax.legend(fontsize=11, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.18), frameon=False)
    return titled(ax, "The stream: tasks in the order in which they are learned")


def class_counts(corpus, need: int = 120) -> Axes:
    """Examples a label, most frequent first; the line is what `make_stream` asks of a label by default."""
    (labels, counts), ax = zip(*corpus.counts().most_common()), axes(14, 5)[0]
    ax.bar(labels, counts, color=PALETTE[0])
    ax.axhline(
        need,
        color=PALETTE[1],
        linestyle="--",
        label=f"{need} examples, what a stream needs of a type",
    )
    ax.legend(frameon=False, fontsize=14)
    ax.tick_params("x", rotation=90, labelsize=min(12, 700 / len(labels)))
    ax.set(xlim=(-0.7, len(labels) - 0.3), ylabel="examples")
    return titled(ax, f"{len(labels)} types: a few are frequent, many are rare")
