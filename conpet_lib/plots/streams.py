"""Streams: what a corpus, a stream and a replay consist of, counted in rows.

In: a corpus, a stream or a run. Out: Axes with bars. Start at `stream_picture`.
"""

import textwrap
from typing import TYPE_CHECKING

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from conpet_lib.core.arguments import NotNegative, checked
from conpet_lib.core.errors import check_known
from conpet_lib.plots.style import PALETTE, axes, looks, titled

if TYPE_CHECKING:
    from conpet_lib.corpora.example import Corpus
    from conpet_lib.runs.run import Run
    from conpet_lib.streams.stream import Stream


@checked
def replayed(run: "Run", part: str = "module") -> Axes:
    """How many rows of each task were drawn for training in each stage.

    Args:
        run: The run.
        part: What was trained on them, "module" or "selector".

    Returns:
        The Axes; one bar per stage, stacked by task.

    Raises:
        ConpetError: If the run has no such part.
    """
    check_known("part of the run", part, run.replayed["part"].unique().tolist())
    drawn = run.replayed[run.replayed["part"] == part]
    counts = drawn.pivot_table("count", "stage", "task", aggfunc="sum", fill_value=0)
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
    title = f"{looks(run).name}, {part}: rows drawn in each stage, by their task"
    return titled(ax, title, legend="task")


@checked
def stream_picture(stream: "Stream") -> Axes:
    """The tasks of a stream in their order: their labels, and the rows of each side.

    Args:
        stream: The stream.

    Returns:
        The Axes; one bar per task, stacked by side.
    """
    names = []
    sizes = []
    for stage, task in enumerate(stream, 1):
        labels = textwrap.shorten(", ".join(task.labels), 80)
        names.append(f"{stage}. {labels}")
        sizes.append([len(task.train), len(task.valid), len(task.test)])
    table = pd.DataFrame(sizes, names, ["training", "validation", "test"])
    ax = table.plot.barh(
        ax=axes(11, 1.5 + 0.55 * len(stream))[0],
        stacked=True,
        width=0.8,
        color=PALETTE[:3],
        xlabel="examples",
    )
    ax.invert_yaxis()  # the first task on top
    ax.tick_params("y", labelsize=12)
    ax.legend(fontsize=11, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.18), frameon=False)
    return titled(ax, "The stream: tasks in the order in which they are learned")


@checked
def class_counts(corpus: "Corpus", need: NotNegative = 120) -> Axes:
    """The number of examples of each label, most frequent first.

    Args:
        corpus: The corpus.
        need: Where the line stands; 120 is what `make_stream` asks of a label by default.

    Returns:
        The Axes; one bar per label.
    """
    counts = dict(corpus.counts().most_common())
    ax = axes(14, 5)[0]
    ax.bar(list(counts), list(counts.values()), color=PALETTE[0])
    ax.axhline(
        need,
        color=PALETTE[1],
        linestyle="--",
        label=f"{need} examples, what a stream needs of a type",
    )
    ax.legend(frameon=False, fontsize=14)
    small = 700 / max(1, len(counts))  # the size where labels are many
    ax.tick_params("x", rotation=90, labelsize=min(12, small))
    ax.set(xlim=(-0.7, len(counts) - 0.3), ylabel="examples")
    return titled(ax, f"{len(counts)} types: a few are frequent, many are rare")
