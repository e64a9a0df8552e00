"""Plots: figures that read from the last row of a room, also for the colour-blind.
In: runs, or tables of accuracies as parts of 1. Out: matplotlib Axes. Figures are made without pyplot's global state,
so that widgets may draw from a thread. May import `metrics`, trains nothing. Start at `forgetting_curves`."""

import io
import os
import textwrap
from collections.abc import Sequence
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread, imsave
from matplotlib.ticker import MaxNLocator
from conpet_lib import metrics
from conpet_lib.registry import methods

PALETTE = sns.color_palette("colorblind")
LUMINANCE = np.tile([[0.2126], [0.7152], [0.0722]], 3)        # of red, green and blue (ITU-R BT.709)
NEAR = {"textcoords": "offset points", "ha": "center", "fontsize": 10}       # of a word some points away from its place
LOOKS = {learner: (row["name"], PALETTE[row["colour"]], row["marker"]) for learner, row in methods().iterrows()}

def looks(run) -> tuple[str, tuple, str]:
    """Name, colour and marker of a run's learner, its module budget with the name if there is one."""
    (name, color, marker), count = LOOKS.get(run.name, (run.name, PALETTE[3], "^")), run.record["config"].get("modules")
    return f"{name}, budget {count}" if count else name, color, marker

class Shown(Axes):
    """Axes that a notebook shows by themselves: a PNG of their whole figure at 2x, without pyplot."""
    def _repr_png_(self) -> tuple[bytes, dict]:
        return png(self), {"width": int(100 * self.figure.get_figwidth())}

def png(ax: Axes, scale: int = 2) -> bytes:
    """The whole figure of `ax` as PNG, `scale` x 100 dots an inch; for dark pages where `$CONPET_LOOK` is "dark"."""
    file, look = io.BytesIO(), {"format": "png", "dpi": 100 * scale, "metadata": {"Software": None}}
    ax.figure.savefig(file, **look)
    if os.environ.get("CONPET_LOOK") == "dark":         # light and dark change places, each colour keeps its hue
        file.seek(0)
        pixels, file = imread(file)[..., :3], io.BytesIO()
        imsave(file, (pixels + 1 - 2 * pixels @ LUMINANCE).clip(0, 1), **look)
    return file.getvalue()

def axes(width: float = 9.0, height: float = 5.0, columns: int = 1) -> list[Axes]:
    """Empty axes of a new figure in the projector's style (seaborn's "talk"); size in inches."""
    with sns.axes_style("ticks"), sns.plotting_context("talk", font_scale=0.8):
        figure = Figure(figsize=(width, height), layout="constrained", dpi=100)
        panels = figure.subplots(1, columns, squeeze=False, subplot_kw={"axes_class": Shown})
    sns.despine(figure)
    return panels[0].tolist()

def titled(ax: Axes, title: str, *labels: str, legend: str = "", **font) -> Axes:
    """The Axes with a title at its left, labels of its x and y axis, and a legend, if there is one, beside it."""
    ax.set(**dict(zip(("xlabel", "ylabel"), labels)))
    ax.set_title(title, loc="left", **font)
    if legend:
        sns.move_legend(ax, "center left", title=legend, fontsize=11, bbox_to_anchor=(1, 0.5), frameon=False)
    return ax

def draw_lines(ax: Axes, lines: Sequence[tuple], stages: int, ylabel: str, title: str, low: float = 0, **look) -> Axes:
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
        ax.annotate(name, end, (end[0] + 0.15, taken), color=color, va="center", fontsize=13, annotation_clip=False)
    return titled(ax, title, "stage (tasks seen)", ylabel)

def average_curves(runs: Sequence, upto: int | None = None) -> Axes:
    """Average accuracy against the stage, up to a stage (default: the last), one line a run, its name at the end."""
    lines = [(run.average_accuracy.loc[:upto], *looks(run)) for run in runs]
    return draw_lines(axes()[0], lines, max(len(run.record["stream"]["tasks"]) for run in runs),
                      "average accuracy (%)", "What is left after each stage, over all tasks seen")

def selector_bound(run) -> Axes:
    """Average accuracy beside its two factors: how often the task is chosen rightly, and how good the modules are."""
    answer = run.average_accuracy
    lines = [(metrics.oracle_accuracy(run.predictions), "label right, task told", PALETTE[2], "^"),
             (metrics.selector_accuracy(run.predictions), "task right (selector)", PALETTE[4], "v"),
             (answer, "label right (answer)", *looks(run)[1:])]
    return draw_lines(axes(11, 5)[0], lines, len(answer), "test rows (%)",
                      "Which part limits the answer: the modules or the selector?", max(0, 100 * answer.min() - 15))

def forgetting_curves(runs: Sequence) -> Axes:
    """A panel a run: accuracy on each task by stage (thin), and mean (thick). Returns the first; `.figure` has all."""
    panels = axes(5.2 * len(runs) + 0.8, 4.8, len(runs))
    for ax, run in zip(panels, runs):
        name, color, marker = looks(run)
        matrix, average = 100 * run.accuracy_matrix, run.average_accuracy
        for task, shade in zip(matrix, sns.color_palette("crest", len(matrix))):
            ax.plot(matrix.index, matrix[task], color=shade, linewidth=1.5, alpha=0.9, marker=".", markersize=6)
            ax.annotate(str(task), (task, matrix.loc[task, task]), (0, 5), color=shade, **NEAR)
        lost = f", forgets {100 * run.forgetting:.1f} points" if len(matrix) > 1 else ""
        draw_lines(ax, [(average, "", color, marker)], len(matrix), "accuracy (%)" if ax is panels[0] else "",
                   f"{name}\nends at {100 * average.iloc[-1]:.1f} %{lost}", linewidth=4, markersize=9)
    says = ["thin lines: each task, numbered where it is learned", "thick line: average over the tasks seen"]
    panels[0].figure.supxlabel(("\n" if len(panels) == 1 else "; ").join(says), fontsize=12)
    return panels[0]

def heatmap(table: pd.DataFrame, ax: Axes, says: str, title: str, *labels: str, bar: bool = True) -> Axes:
    """A table of percentages, its values in the cells, colours even in grey; `says` stands beside the colour bar."""
    sns.heatmap(table, ax=ax, vmin=0, vmax=100, cmap="cividis", annot=len(table) <= 12, fmt=".0f", square=True,
                annot_kws={"fontsize": 13}, cbar=bar, cbar_kws={"label": says, "shrink": 0.8})
    ax.tick_params(rotation=0)
    return titled(ax, title, *labels, fontsize=14)

def accuracy_heatmaps(runs: Sequence) -> Axes:
    """The accuracy matrices R[k, i] of runs side by side, values in the cells (%); returns the first panel's Axes."""
    panels = axes(5.2 * len(runs) + 0.5, 6.0, len(runs))
    for ax, run in zip(panels, runs):
        heatmap(100 * run.accuracy_matrix, ax, "accuracy (%)", looks(run)[0], "task tested", "after stage",
                bar=ax is panels[-1])
    panels[0].figure.supxlabel("read a column downwards to see forgetting", fontsize=12)
    return panels[0]

def selector_confusion(run, stage: int | None = None) -> Axes:
    """Which task the selector chose (columns) for test rows of each task (rows), as % of a row; default: last stage."""
    stage = stage or run.record["stages_done"]
    rows, tasks = run.predictions.query("stage == @stage"), range(1, stage + 1)
    shares = pd.crosstab(rows["task"], rows["chosen_task"], normalize="index").reindex(tasks, columns=tasks).fillna(0)
    return heatmap(100 * shares, axes(0.62 * stage + 3.2, 0.6 * stage + 1.8)[0], "share of the task's rows (%)",
                   f"Stage {stage}: where the selector sends a task's rows", "task chosen", "true task")

def calibration(run, stage: int | None = None) -> Axes:
    """How often the selector is right, by how sure it is; on the diagonal it knows what it knows."""
    stage = stage or run.record["stages_done"]
    table = metrics.calibration(run.predictions.query("stage == @stage"))
    ax, (_, color, marker) = axes(6, 5)[0], looks(run)
    ax.plot([0, 100], [0, 100], color="0.6", linestyle="--")
    ax.plot(100 * table["confidence"], 100 * table["accuracy"], color=color, marker=marker)
    for confidence, accuracy, rows in table.itertuples(index=False):
        ax.annotate(str(rows), (100 * confidence, 100 * accuracy), (0, -18), **NEAR)
    ax.set(xlim=(0, 103), ylim=(0, 103))
    return titled(ax, f"Stage {stage}: is the selector as right as it is sure?\n(numbers: test rows in the bin)",
                  "selector's confidence (%)", "task chosen rightly (%)")

def selector_map(points: pd.DataFrame, marked: int | None = None) -> Axes:
    """Test rows of `selector_points`, a colour a task; crosses were sent to a wrong task; a ring marks one row."""
    shown = points.assign(chosen=np.where(points["task"] == points["chosen_task"], "right", "wrong"))
    ax, colors = axes(9, 6.5)[0], "colorblind" if points["task"].max() <= 10 else "viridis"
    sns.scatterplot(shown, x="x", y="y", hue="task", palette=colors, legend="full", style="chosen", ax=ax,
                    markers={"right": "o", "wrong": "X"}, size="chosen", sizes={"right": 30, "wrong": 90})
    if marked is not None:
        ax.scatter(*points.loc[marked, ["x", "y"]], s=400, facecolors="none", edgecolors="black", linewidths=3)
    return titled(ax, "How the selector sees the test rows", "first main direction (no unit)", "second main direction",
                  legend=" ")

def frontier(runs: Sequence, cost: str = "trained parameters") -> Axes:
    """Average accuracy against a cost of `Run.summary`, a point a run: better is up and to the left."""
    ax, found = axes()[0], [(run.summary(), run) for run in runs]
    for number, (row, run) in enumerate(sorted(found, key=lambda pair: pair[0][cost])):     # names above, below, above
        name, color, marker = looks(run)
        place = row[cost], 100 * row["average accuracy"]
        ax.plot(*place, marker, color=color, markersize=10)
        ax.annotate(name, place, (0, (14, -26)[number % 2]), **NEAR | {"fontsize": 12})
    ax.margins(x=0.2, y=0.2)
    return titled(ax, "What a larger budget buys: up and to the left is better", cost, "average accuracy (%)")

def ablation(table: pd.DataFrame, by: str, pairs: pd.DataFrame | None = None) -> Axes:
    """Average accuracy of the runs of `runs_table` against a setting, a point a run, with the mean of each value; at
    its right, if given, the paired differences of `compare` with their 95 % intervals. Returns the left Axes."""
    (ax, *other), name = axes(*((9, 5) if pairs is None else (15, 5, 2))), by.replace("_", " ")
    shown = table[[by, "seed"]].convert_dtypes().astype(object).fillna("None").astype(str)       # as `compare` has it
    shown = shown.assign(percent=100 * table["average accuracy"])
    sns.stripplot(shown, x=by, y="percent", hue="seed", palette="colorblind", size=9, jitter=False, dodge=True, ax=ax)
    sns.pointplot(shown, x=by, y="percent", ax=ax, color="black", errorbar=None, linestyle="none", marker="_",
                  markersize=40)
    if pairs is not None:
        gain, high = 100 * pairs["difference"], 100 * pairs["high"]
        other[0].errorbar(gain, pairs["one"] + " minus " + pairs["other"], xerr=high - gain, fmt="ko", capsize=4)
        other[0].axvline(0, color="0.5", linestyle="--")
        other[0].margins(y=0.2)
        titled(other[0], "Differences of pairs (bars: 95% interval)", "points of average accuracy")
    return titled(ax, f"Does {name} matter? Each point a run, the lines are means", name, "average accuracy (%)",
                  legend="seed")

def replayed(run, part: str = "module") -> Axes:
    """How many rows of each task were drawn in each stage, for the `part` "module" or "selector"."""
    counts = run.replayed.query("part == @part").pivot_table("count", "stage", "task", aggfunc="sum", fill_value=0)
    ax = counts.plot.bar(ax=axes()[0], stacked=True, width=0.8, rot=0, edgecolor="white", linewidth=0.5,
                         ylabel="rows drawn", color=sns.color_palette("crest", counts.shape[1]))
    return titled(ax, f"{looks(run)[0]}, {part}: rows drawn in each stage, by their task", legend="task")

def stream_picture(stream) -> Axes:
    """Rows of each side of each task, with the task's labels."""
    names = [f"{stage}. {textwrap.shorten(', '.join(task.labels), 80)}" for stage, task in enumerate(stream, 1)]
    sides = [[len(task.train), len(task.valid), len(task.test)] for task in stream]
    ax = pd.DataFrame(sides, names, ["training", "validation", "test"]).plot.barh(
        ax=axes(11, 1.5 + 0.55 * len(stream))[0], stacked=True, width=0.8, color=PALETTE[:3], xlabel="examples")
    ax.invert_yaxis()
    ax.tick_params("y", labelsize=12)
    ax.legend(fontsize=11, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.18), frameon=False)
    return titled(ax, "The stream: tasks in the order in which they are learned")

def class_counts(corpus, need: int = 120) -> Axes:
    """Examples a label, most frequent first; the line is what `make_stream` asks of a label by default."""
    (labels, counts), ax = zip(*corpus.counts().most_common()), axes(14, 5)[0]
    ax.bar(labels, counts, color=PALETTE[0])
    ax.axhline(need, color=PALETTE[1], linestyle="--", label=f"{need} examples, what a stream needs of a type")
    ax.legend(frameon=False, fontsize=14)
    ax.tick_params("x", rotation=90, labelsize=min(12, 700 / len(labels)))
    ax.set(xlim=(-0.7, len(labels) - 0.3), ylabel="examples")
    return titled(ax, f"{len(labels)} types: a few are frequent, many are rare")

def paired(one, other) -> Axes:
    """Accuracy of `one` minus that of `other`, by task and overall, on the same test rows after the last stage. Bars
    are 95 % intervals, 1.96 standard errors of the mean difference over test rows of these two runs."""
    first, second = (run.predictions.query("stage == stage.max()").set_index("key") for run in (one, other))
    gain = 100 * metrics.is_right(first).astype(float).sub(metrics.is_right(second))
    by_task, overall = gain.groupby(first["task"]).agg(["mean", "sem"]), gain.agg(["mean", "sem"])
    rows, (name, color, _) = pd.concat([by_task, overall.to_frame("all").T]), looks(one)
    ax = axes(9, 1.8 + 0.4 * len(rows))[0]
    ax.errorbar(rows["mean"], rows.index.astype(str), xerr=1.96 * rows["sem"], fmt="o", capsize=4, color=color)
    ax.axvline(0, color="0.5", linestyle="--")
    return titled(ax, "Which tasks gain, which lose?\n(bars: 95% interval over the test rows of one seed)",
                  f"{name} minus {looks(other)[0]} (points)", "task")

def lost_labels(run) -> pd.DataFrame:
    """Labels, most lost first: accuracy (parts of 1) when learned, at the end; "taken for": its most frequent error."""
    table = run.predictions.assign(right=metrics.is_right(run.predictions))
    new, last = table.query("stage == task").groupby("label"), table.query("stage == stage.max()")
    found = pd.DataFrame({"task": new["task"].first(), "learned": new["right"].mean(),
                          "at the end": last.groupby("label")["right"].mean()})
    wrong = last[~last["right"]].groupby("label")["predicted"].agg(lambda names: names.value_counts().index[0])
    found = found.assign(lost=found["learned"] - found["at the end"], **{"taken for": wrong.reindex(found.index)})
    return found.fillna({"taken for": "-"}).sort_values("lost", ascending=False, kind="stable")
