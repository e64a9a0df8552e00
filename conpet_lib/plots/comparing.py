"""Plots: figures that read from the last row of a room, also for the colour-blind.
In: runs, or tables of accuracies as parts of 1. Out: matplotlib Axes. Figures are made without pyplot's global state,
so that widgets may draw from a thread. May import `metrics`, trains nothing. Start at `forgetting_curves`."""

from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from conpet_lib import metrics
from conpet_lib.plots.style import NEAR, axes, looks, titled


def frontier(runs: Sequence, cost: str = "trained parameters") -> Axes:
    """Average accuracy against a cost of `Run.summary`, a point a run: better is up and to the left."""
    ax, found = axes()[0], [(run.summary(), run) for run in runs]
    for number, (row, run) in enumerate(
        sorted(found, key=lambda pair: pair[0][cost])
    ):  # names above, below, above
        name, color, marker = looks(run)
        place = row[cost], 100 * row["average accuracy"]
        ax.plot(*place, marker, color=color, markersize=10)
        ax.annotate(name, place, (0, (14, -26)[number % 2]), **NEAR | {"fontsize": 12})
    ax.margins(x=0.2, y=0.2)
    return titled(
        ax, "What a larger budget buys: up and to the left is better", cost, "average accuracy (%)"
    )


def ablation(table: pd.DataFrame, by: str, pairs: pd.DataFrame | None = None) -> Axes:
    """Average accuracy of the runs of `runs_table` against a setting, a point a run, with the mean of each value; at
    its right, if given, the paired differences of `compare` with their 95 % intervals. Returns the left Axes."""
    (ax, *other), name = axes(*((9, 5) if pairs is None else (15, 5, 2))), by.replace("_", " ")
    shown = (
        table[[by, "seed"]].convert_dtypes().astype(object).fillna("None").astype(str)
    )  # as `compare` has it
    shown = shown.assign(percent=100 * table["average accuracy"])
    sns.stripplot(
        shown,
        x=by,
        y="percent",
        hue="seed",
        palette="colorblind",
        size=9,
        jitter=False,
        dodge=True,
        ax=ax,
    )
    sns.pointplot(
        shown,
        x=by,
        y="percent",
        ax=ax,
        color="black",
        errorbar=None,
        linestyle="none",
        marker="_",
        markersize=40,
    )
    if pairs is not None:
        gain, high = 100 * pairs["difference"], 100 * pairs["high"]
        other[0].errorbar(
            gain, pairs["one"] + " minus " + pairs["other"], xerr=high - gain, fmt="ko", capsize=4
        )
        other[0].axvline(0, color="0.5", linestyle="--")
        other[0].margins(y=0.2)
        titled(other[0], "Differences of pairs (bars: 95% interval)", "points of average accuracy")
    return titled(
        ax,
        f"Does {name} matter? Each point a run, the lines are means",
        name,
        "average accuracy (%)",
        legend="seed",
    )


def paired(one, other) -> Axes:
    """Accuracy of `one` minus that of `other`, by task and overall, on the same test rows after the last stage. Bars
    are 95 % intervals, 1.96 standard errors of the mean difference over test rows of these two runs."""
    first, second = (
        run.predictions.query("stage == stage.max()").set_index("key") for run in (one, other)
    )
    gain = 100 * metrics.is_right(first).astype(float).sub(metrics.is_right(second))
    by_task, overall = gain.groupby(first["task"]).agg(["mean", "sem"]), gain.agg(["mean", "sem"])
    rows, (name, color, _) = pd.concat([by_task, overall.to_frame("all").T]), looks(one)
    ax = axes(9, 1.8 + 0.4 * len(rows))[0]
    ax.errorbar(
        rows["mean"],
        rows.index.astype(str),
        xerr=1.96 * rows["sem"],
        fmt="o",
        capsize=4,
        color=color,
    )
    ax.axvline(0, color="0.5", linestyle="--")
    return titled(
        ax,
        "Which tasks gain, which lose?\n(bars: 95% interval over the test rows of one seed)",
        f"{name} minus {looks(other)[0]} (points)",
        "task",
    )


def lost_labels(run) -> pd.DataFrame:
    """Labels, most lost first: accuracy (parts of 1) when learned, at the end; "taken for": its most frequent error."""
    table = run.predictions.assign(right=metrics.is_right(run.predictions))
    new, last = table.query("stage == task").groupby("label"), table.query("stage == stage.max()")
    found = pd.DataFrame(
        {
            "task": new["task"].first(),
            "learned": new["right"].mean(),
            "at the end": last.groupby("label")["right"].mean(),
        }
    )
    wrong = (
        last[~last["right"]]
        .groupby("label")["predicted"]
        .agg(lambda names: names.value_counts().index[0])
    )
    found = found.assign(
        lost=found["learned"] - found["at the end"], **{"taken for": wrong.reindex(found.index)}
    )
    return found.fillna({"taken for": "-"}).sort_values("lost", ascending=False, kind="stable")
