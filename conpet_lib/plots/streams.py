"""Streams: what a corpus, a stream and a replay consist of, counted in rows.

In: a corpus, a stream or a run. Out: Axes with bars. Start at `stream_picture`.
"""

import itertools
import unicodedata
from typing import TYPE_CHECKING

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from conpet_lib.core.arguments import NotNegative, checked
from conpet_lib.core.errors import check_known
from conpet_lib.plots.style import PALETTE, axes, looks, titled

LONGEST_LABELS = 80  # letters of a task's labels beside its bar
LONGEST_LABEL = 40  # letters of one label under its bar
CUT = " [...]"

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
        ConpetError: If the run has no such part, or drew no rows for it.
    """
    trained = run.replayed["part"].unique().tolist()
    check_known("part of this run that was trained on rows", part, trained)
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
        names.append(f"{stage}. {_shortened(', '.join(task.labels), LONGEST_LABELS)}")
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


def _shortened(words: str, most: int) -> str:
    """Words on one line, cut where they are wider than so many Latin letters."""
    line = " ".join(words.split())
    if sum(map(_width, line)) <= most:
        return line
    widths = itertools.accumulate(map(_width, line))
    fitting = sum(width <= most - len(CUT) for width in widths)
    return line[:fitting].rstrip() + CUT


def _width(sign: str) -> int:
    """The width of a sign in Latin letters: those of Chinese, Japanese and Korean are square."""
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


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
    places = range(len(counts))
    ax.bar(places, list(counts.values()), color=PALETTE[0])
    ax.set_xticks(places, [_shortened(label, LONGEST_LABEL) for label in counts])
    ax.axhline(
        need,
        color=PALETTE[1],
        linestyle="--",
        label=f"{need} examples of a type, what a stream needs by default",
    )
    ax.legend(frameon=False, fontsize=14)
    small = 700 / max(1, len(counts))  # the size where labels are many
    ax.tick_params("x", rotation=90, labelsize=min(12, small))
    ax.set(xlim=(-0.7, len(counts) - 0.3), ylabel="examples")
    enough = sum(count >= need for count in counts.values())
    return titled(ax, f"{len(counts)} types: {enough} of them have {need} examples or more")
