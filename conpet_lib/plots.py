"""Plots: figures that read from the last row of a room, also for the colour-blind.

In: runs, or tables of accuracies as parts of 1. Out: matplotlib Axes. Figures are made without pyplot's global state,
so that widgets may draw from a thread. May import `metrics`, trains nothing. Start at `forgetting_curves`.
"""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.decomposition import PCA

from conpet_lib import metrics

# One colour and one marker a learner, in the whole project.
PALETTE = sns.color_palette("colorblind")
LOOKS = {"vanilla": (PALETTE[7], "s"), "static": (PALETTE[0], "o"), "dynamic": (PALETTE[1], "D")}
NAMES = {"vanilla": "Vanilla", "static": "Static ConPET", "dynamic": "Dynamic ConPET"}
SEQUENTIAL = "cividis"      # even in grey, and for the colour-blind


def looks(run) -> tuple[str, tuple, str]:
    """Name, colour and marker of a run's learner."""
    return NAMES.get(run.name, run.name), *LOOKS.get(run.name, (PALETTE[3], "^"))


class Shown(Axes):
    """Axes that a notebook shows by themselves: a PNG of their whole figure at 2x, without pyplot."""

    def _repr_png_(self) -> tuple[bytes, dict]:
        width, height = (100 * self.figure.get_size_inches()).astype(int).tolist()
        return png(self), {"width": width, "height": height}


def png(ax: Axes, scale: int = 2) -> bytes:
    """The whole figure of `ax` as PNG, `scale` x 100 dots an inch."""
    file = io.BytesIO()
    ax.figure.savefig(file, format="png", dpi=100 * scale, metadata={"Software": None})
    return file.getvalue()


def axes(width: float = 9.0, height: float = 5.0, columns: int = 1) -> list[Axes]:
    """Empty axes of a new figure in the projector's style (seaborn's "talk"); size in inches."""
    with sns.axes_style("ticks"), sns.plotting_context("talk", font_scale=0.8):
        figure = Figure(figsize=(width, height), layout="constrained", dpi=100)
        made = list(np.atleast_1d(figure.subplots(1, columns, subplot_kw={"axes_class": Shown})))
    for place in made:
        sns.despine(ax=place)
    return made


def accuracy_axes(ax: Axes, stages: int, ylabel: str, title: str, low: float = 0) -> None:
    """Axes of an accuracy against the stage: percent, from `low` to 100."""
    ax.set(xlabel="stage (tasks seen)", ylabel=ylabel, ylim=(low, 103), xlim=(0.8, stages + 0.2))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_title(title, loc="left", pad=14)


def label_ends(ax: Axes, ends: Sequence[tuple[float, float, str, tuple]]) -> None:
    """Write each line's name at its end, moved apart where two lines end close together (in y units)."""
    low, high = ax.get_ylim()
    gap, taken = (high - low) / 16, -np.inf
    for x, y, name, color in sorted(ends, key=lambda end: end[1]):
        taken = max(y, taken + gap)
        ax.annotate(name, (x, y), xytext=(x + 0.15, taken), color=color, va="center", annotation_clip=False,
                    textcoords="data", fontsize=13)


def average_curves(runs: Sequence, ax: Axes | None = None, upto: int | None = None) -> Axes:
    """Average accuracy against the stage, up to the last or to `upto`, one line a run, its name at the end."""
    ax = ax or axes()[0]
    ends, stages = [], 1
    for run in runs:
        name, color, marker = looks(run)
        values = 100 * run.average_accuracy.loc[:upto]
        stages = max(stages, len(run.record["stream"]["tasks"]))
        ax.plot(values.index, values, color=color, marker=marker, label=name)
        ends.append((values.index[-1], values.iloc[-1], name, color))
    accuracy_axes(ax, stages, "average accuracy (%)", "What is left after each stage, over all tasks seen")
    label_ends(ax, ends)
    return ax


def forgetting_curves(runs: Sequence) -> Axes:
    """A panel a run: the accuracy on each task against the stage (thin), and the average over tasks seen (thick).

    Returns the first panel's Axes; `.figure` is the whole picture.
    """
    panels = axes(5.2 * len(runs) + 0.8, 4.8, len(runs))
    for ax, run in zip(panels, runs):
        name, color, marker = looks(run)
        matrix = 100 * run.accuracy_matrix
        for task, shade in zip(matrix.columns, sns.color_palette("crest", matrix.shape[1])):
            line = matrix[task].dropna()
            ax.plot(line.index, line, color=shade, linewidth=1.5, alpha=0.9, marker=".", markersize=6)
            ax.annotate(str(task), (line.index[0], line.iloc[0]), xytext=(0, 5), textcoords="offset points",
                        fontsize=10, ha="center", color=shade)
        average = 100 * run.average_accuracy
        ax.plot(average.index, average, color=color, marker=marker, linewidth=4, markersize=9)
        lost = f", forgets {100 * run.forgetting:.1f} points" if len(matrix) > 1 else ""
        accuracy_axes(ax, len(matrix), "accuracy (%)" if ax is panels[0] else "",
                      f"{name}\nends at {average.iloc[-1]:.1f} %{lost}")
    says = ["thin lines: each task, numbered where it is learned", "thick line: average over the tasks seen"]
    panels[0].figure.supxlabel(("\n" if len(panels) == 1 else "; ").join(says), fontsize=12)
    return panels[0]


def heatmap(table: pd.DataFrame, ax: Axes, title: str, says: str, bar: bool = True, **names: str) -> Axes:
    """A table of percentages with its values in the cells; `says` stands beside the colour bar."""
    sns.heatmap(table, ax=ax, vmin=0, vmax=100, cmap=SEQUENTIAL, annot=len(table) <= 12, fmt=".0f", square=True,
                annot_kws={"fontsize": 13}, cbar=bar, cbar_kws={"label": says, "shrink": 0.8})
    ax.tick_params(rotation=0)
    ax.set(**names)
    ax.set_title(title, loc="left", fontsize=14)
    return ax


def accuracy_heatmaps(runs: Sequence) -> Axes:
    """The accuracy matrices R[k, i] of runs side by side, values in the cells (%); returns the first panel's Axes."""
    panels = axes(5.2 * len(runs) + 0.5, 5.4, len(runs))
    for ax, run in zip(panels, runs):
        heatmap(100 * run.accuracy_matrix, ax, looks(run)[0], "accuracy (%)", bar=ax is panels[-1],
                xlabel="task tested", ylabel="after stage")
    panels[0].figure.supxlabel("read a column downwards to see forgetting", fontsize=12)
    return panels[0]


def selector_confusion(run, stage: int | None = None) -> Axes:
    """Which task the selector chose (columns) for test rows of each task (rows), as % of a row."""
    stage = stage or run.record["stages_done"]
    table = run.predictions[run.predictions["stage"] == stage]
    shares = 100 * pd.crosstab(table["task"], table["chosen_task"], normalize="index")
    shares = shares.reindex(index=range(1, stage + 1), columns=range(1, stage + 1)).fillna(0.0)
    return heatmap(shares, axes(0.62 * stage + 3.2, 0.6 * stage + 1.8)[0],
                   f"Stage {stage}: where the selector sends a task's rows", "share of the task's rows (%)",
                   xlabel="task chosen", ylabel="true task")


def calibration(run, stage: int | None = None) -> Axes:
    """How often the selector is right, by how sure it is; on the diagonal it knows what it knows."""
    stage = stage or run.record["stages_done"]
    table = 100 * metrics.calibration(run.predictions[run.predictions["stage"] == stage])
    ax = axes(6, 5)[0]
    _, color, marker = looks(run)
    ax.plot([0, 100], [0, 100], color="0.6", linestyle="--")
    ax.plot(table["confidence"], table["accuracy"], color=color, marker=marker)
    for confidence, accuracy, rows in table.itertuples(index=False):
        ax.annotate(f"{rows / 100:.0f}", (confidence, accuracy), xytext=(0, -18), textcoords="offset points",
                    ha="center", fontsize=10)
    ax.set(xlabel="selector's confidence (%)", ylabel="task chosen rightly (%)", xlim=(0, 103), ylim=(0, 103))
    ax.set_title(f"Stage {stage}: is the selector as right as it is sure?\n(numbers: test rows in the bin)", loc="left")
    return ax


def replayed(run, part: str = "module") -> Axes:
    """How many rows of each task were drawn in each stage."""
    table = run.replayed[run.replayed["part"] == part]
    counts = table.pivot_table(index="stage", columns="task", values="count", aggfunc="sum", fill_value=0)
    ax = axes(9, 5)[0]
    counts.plot.bar(ax=ax, stacked=True, width=0.8, rot=0, edgecolor="white", linewidth=0.5, ylabel="rows drawn",
                    color=sns.color_palette("crest", counts.shape[1]))
    ax.legend(title="task", fontsize=11, ncols=2, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    ax.set_title(f"{looks(run)[0]}, {part}: rows drawn in each stage, by their task", loc="left")
    return ax


def stream_picture(stream) -> Axes:
    """Rows of each side of each task, with the task's labels."""
    ax = axes(11, 1.5 + 0.55 * len(stream))[0]
    sizes = pd.DataFrame([[len(task.train), len(task.valid), len(task.test)] for task in stream],
                         [f"{number}. {textwrap.shorten(', '.join(task.labels), 80)}" for number, task in
                          enumerate(stream, 1)], ["training", "validation", "test"])
    sizes.plot.barh(ax=ax, stacked=True, width=0.8, color=PALETTE[:3], xlabel="examples")
    ax.invert_yaxis()
    ax.tick_params("y", labelsize=12)
    ax.legend(fontsize=11, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.18), frameon=False)
    ax.set_title("The stream: tasks in the order in which they are learned", loc="left")
    return ax


def class_counts(corpus, need: int = 120) -> Axes:
    """Examples a label, most frequent first; the line is what `make_stream` asks of a label by default."""
    counts = corpus.counts().most_common()
    ax = axes(14, 5)[0]
    ax.bar([label for label, _ in counts], [count for _, count in counts], color=PALETTE[0])
    ax.axhline(need, color=PALETTE[1], linestyle="--")
    ax.annotate(f"dashed: {need} examples, what a stream needs of a type", (len(counts) - 1, need), xytext=(0, 60),
                textcoords="offset points", ha="right", fontsize=14)
    ax.tick_params("x", rotation=90, labelsize=min(12, 700 / len(counts)))
    ax.set(ylabel="examples", xlim=(-0.7, len(counts) - 0.3))
    ax.set_title(f"{len(counts)} types: a few are frequent, many are rare", loc="left")
    return ax


def selector_bound(run) -> Axes:
    """Average accuracy beside its two factors: how often the task is chosen rightly, and how good the modules are."""
    ax = axes(11, 5)[0]
    lines = [("label right, task told", metrics.oracle_accuracy(run.predictions), PALETTE[2], "^"),
             ("task right (selector)", metrics.selector_accuracy(run.predictions), PALETTE[4], "v"),
             ("label right (answer)", run.average_accuracy, *looks(run)[1:])]
    for _, values, shade, marker in lines:
        ax.plot(values.index, 100 * values, color=shade, marker=marker)
    accuracy_axes(ax, len(run.average_accuracy), "test rows (%)", "Which part limits the answer: the modules or the "
                  "selector?", low=max(0, 100 * run.average_accuracy.min() - 15))
    label_ends(ax, [(values.index[-1], 100 * values.iloc[-1], name, shade) for name, values, shade, _ in lines])
    return ax


def selector_map(run, stream) -> Axes:
    """Test rows by the two main directions (scikit-learn's PCA) of the selector's features, a colour a task.

    Rows whose task was chosen wrongly are crosses. `mark` puts a ring around one.
    """
    from conpet_lib.features import Features
    last = run.predictions[run.predictions["stage"] == run.record["stages_done"]]
    row_of = {example.key: row for row, example in enumerate(stream.examples)}
    learner = run.learner
    features = Features(stream.examples, stream.kind, learner.features.backbone,
                        max_tokens=run.record["backbone"]["max_tokens"])
    found = features.features_of([row_of[key] for key in last["key"]], learner.parts[0].modules[0])
    points = pd.DataFrame(PCA(2, random_state=0).fit_transform(found), last["key"], ["x", "y"])
    wrong, ax = (last["task"] != last["chosen_task"]).to_numpy(), axes(9, 7)[0]
    for task, shade in zip(sorted(last["task"].unique()), sns.color_palette("husl", last["task"].nunique())):
        mine = (last["task"] == task).to_numpy()
        ax.scatter(*points[mine & ~wrong].T.to_numpy(), color=shade, s=18, alpha=0.6, label=str(task))
        ax.scatter(*points[mine & wrong].T.to_numpy(), color=shade, s=45, marker="x")
    ax.legend(title="task", fontsize=11, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    ax.set(xlabel="first direction", ylabel="second direction")
    ax.set_title("How the selector sees the test rows\n(crosses: sent to a wrong task)", loc="left")
    ax.points = points
    return ax


def mark(ax: Axes, key: str) -> Axes:
    """Put a ring around one row of a `selector_map`, in place of the last one."""
    for ring in [line for line in ax.lines if line.get_gid() == "ring"]:
        ring.remove()
    ax.plot(*ax.points.loc[key], "o", markersize=16, markerfacecolor="none", markeredgecolor="black",
            markeredgewidth=2.5, gid="ring")
    return ax


def frontier(runs: Sequence, cost: str = "trained parameters") -> Axes:
    """Average accuracy against a cost of `Run.summary`, a point a run: better is up and to the left."""
    ax = axes(9, 5)[0]
    for run in runs:
        (name, color, marker), row = looks(run), run.summary()
        ax.plot(row[cost], 100 * row["average accuracy"], marker, color=color, markersize=10)
        modules = len(run.record["modules"])
        ax.annotate(name if modules == 1 else f"{name}, {modules} modules", fontsize=12, xytext=(9, 6),
                    xy=(row[cost], 100 * row["average accuracy"]), textcoords="offset points")
    ax.set(xlabel=cost, ylabel="average accuracy (%)")
    ax.margins(x=0.25, y=0.15)
    ax.set_title("What a larger budget buys", loc="left")
    return ax


def ablation(table: pd.DataFrame, by: str, measure: str = "average accuracy") -> Axes:
    """Mean of a measure (%) for each value of a factor over streams and seeds, small points for the runs."""
    ax = axes(9, 5)[0]
    shown = table.assign(**{measure: 100 * table[measure], by: table[by].astype(str)})
    sns.stripplot(shown, x=by, y=measure, ax=ax, color=PALETTE[7], size=7, jitter=0.12)
    sns.pointplot(shown, x=by, y=measure, ax=ax, color=PALETTE[0], errorbar=None, linestyle="none", marker="D")
    ax.set(ylabel=f"{measure} (%)", xlabel=by.replace("_", " "))
    ax.set_title(f"Does it matter? {by.replace('_', ' ')}: mean (diamond) and runs (points)", loc="left")
    return ax


def paired(one, other) -> Axes:
    """Accuracy of `one` minus that of `other`, by task and overall, on the same test rows after the last stage.

    The bars' intervals are 95 % (1.96 standard errors of the mean difference over test rows of these two runs).
    """
    last = [run.predictions[run.predictions["stage"] == run.predictions["stage"].max()].set_index("key")
            for run in (one, other)]
    gain = 100 * metrics.is_right(last[0]).astype(float).sub(metrics.is_right(last[1]))
    by_task, overall = gain.groupby(last[0]["task"]).agg(["mean", "sem"]), gain.agg(["mean", "sem"])
    groups = pd.concat([by_task, overall.to_frame("all").T])
    ax = axes(9, 1.8 + 0.4 * len(groups))[0]
    ax.errorbar(groups["mean"], groups.index.astype(str), xerr=1.96 * groups["sem"], fmt="o", capsize=4,
                color=looks(one)[1])
    ax.axvline(0, color="0.5", linestyle="--")
    ax.set(xlabel=f"{looks(one)[0]} minus {looks(other)[0]} (points)", ylabel="task")
    ax.set_title("Which tasks gain, which lose?\n(bars: 95% interval over the test rows of one seed)", loc="left")
    return ax


def lost_labels(run) -> pd.DataFrame:
    """Table, a row a label: accuracy (parts of 1) when learned and after the last stage, and what it is taken for now.

    Most is lost at the top. "taken for" is the most frequent wrong answer.
    """
    table = run.predictions.assign(right=metrics.is_right(run.predictions))
    new, last = table[table["stage"] == table["task"]], table[table["stage"] == table["stage"].max()]
    found = pd.DataFrame({"task": new.groupby("label")["task"].first(), "learned": new.groupby("label")["right"].mean(),
                          "at the end": last.groupby("label")["right"].mean()})
    found["lost"] = found["learned"] - found["at the end"]
    wrong = last[~last["right"]].groupby("label")["predicted"].agg(lambda names: names.value_counts().index[0])
    found["taken for"] = wrong.reindex(found.index).fillna("-")
    return found.sort_values("lost", ascending=False, kind="stable")


def save(ax: Axes, path: str | Path, scale: int = 2) -> Path:
    """Write the whole figure of `ax` as PNG, `scale` x 100 dots an inch."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(ax, scale))
    return path
