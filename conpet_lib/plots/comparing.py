"""Comparing: several runs beside each other, by cost, by setting, by task and by label.

In: runs, or the tables of `cp.runs_table` and `cp.compare`. Out: Axes, or a DataFrame for
`lost_labels`. Computes no statistics of its own but the interval of `paired`. Start at `frontier`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from conpet_lib import metrics
from conpet_lib.core.arguments import check_columns, checked
from conpet_lib.core.errors import ArgumentError, check_known
from conpet_lib.plots.names import as_runs, run_looks, run_names
from conpet_lib.plots.style import axes, looks, titled, write_near

if TYPE_CHECKING:
    from conpet_lib.runs.run import Run

STANDARD_ERRORS = 1.96  # on each side of a mean: a 95 % interval of the normal distribution


@checked
def frontier(runs: "Sequence[Run] | Run", cost: str = "trained parameters") -> Axes:
    """Average accuracy against a cost, one point per run; better is up and to the left.

    Args:
        runs: The runs, or one.
        cost: A key of `Run.summary`, such as "seconds" or "operations".

    Returns:
        The Axes.

    Raises:
        ConpetError: If there is no run, no stage of one is done, or no such cost is known.
    """
    runs = as_runs(runs)
    ax = axes()[0]
    summaries = [(run.summary(), look) for run, look in zip(runs, run_looks(runs))]
    numbers = [name for name in summaries[0][0] if name != "learner"]
    check_known("cost", cost, numbers)
    summaries.sort(key=lambda pair: pair[0][cost])
    for place, (summary, look) in enumerate(summaries):
        name, color, marker = look
        point = (summary[cost], 100 * summary["average accuracy"])
        ax.plot(*point, marker, color=color, markersize=10)
        # Names stand above and below in turn, so that neighbours do not overlap.
        points_up = 14 if place % 2 == 0 else -26
        write_near(ax, name, point, points_up, fontsize=12)
    ax.margins(x=0.2, y=0.2)
    title = "What a larger budget buys: up and to the left is better"
    return titled(ax, title, cost, "average accuracy (%)")


@checked
def ablation(table: pd.DataFrame, by: str, pairs: pd.DataFrame | None = None) -> Axes:
    """Average accuracy of runs against one setting, one point per run, with the mean of each value.

    Args:
        table: Rows of `cp.runs_table` or `cp.grid`, one per run.
        by: The column of the setting, such as "rank".
        pairs: What `cp.compare` gives for the same column. If given, the paired differences stand
            in a second panel at the right, with their 95 % intervals.

    Returns:
        The left Axes; `.figure` has both.

    Raises:
        ArgumentError: If a table lacks columns, or has no row.
    """
    _check_table("table", table, (by, "seed", "average accuracy"))
    if pairs is not None:
        _check_table("pairs", pairs, ("one", "other", "difference", "high"))
    panels = axes(9, 5) if pairs is None else axes(15, 5, columns=2)
    _draw_values(panels[0], table, by)
    if pairs is not None:
        _draw_differences(panels[1], pairs)
    name = by.replace("_", " ")
    title = f"What changes with {name}? Each point is a run, the lines are means"
    return titled(panels[0], title, name, "average accuracy (%)", legend="seed")


def _check_table(name: str, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse a table of `ablation` that lacks columns, or has no row."""
    check_columns("ablation", name, table, columns)
    if table.empty:
        raise ArgumentError(f"ablation({name}=<DataFrame>): {name} must have a row or more.")


def _draw_values(ax: Axes, table: pd.DataFrame, by: str) -> None:
    """Draw each run as a point, by value and seed, and the mean of each value as a line."""
    # Values are written as text in the way of `cp.compare`: 4 and not 4.0 in a column with gaps.
    shown = table[[by, "seed"]].convert_dtypes().astype(object).fillna("None").astype(str)
    shown["percent"] = 100 * table["average accuracy"]
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


def _draw_differences(ax: Axes, pairs: pd.DataFrame) -> None:
    """Draw the difference of each pair of values with its interval, and a line where it is zero."""
    difference = 100 * pairs["difference"]
    half_width = 100 * pairs["high"] - difference
    names = pairs["one"] + " minus " + pairs["other"]
    ax.errorbar(difference, names, xerr=half_width, fmt="ko", capsize=4)
    ax.axvline(0, color="0.5", linestyle="--")
    ax.margins(y=0.2)
    titled(ax, "Differences of pairs (bars: 95% interval)", "points of average accuracy")


@checked
def paired(one: "Run", other: "Run") -> Axes:
    """Accuracy of one run minus that of another after the last stage, per task and overall.

    The bars are 95 % intervals: 1.96 standard errors of the mean difference over the test rows of
    these two runs. They say nothing of other seeds.

    Args:
        one: A run.
        other: A run on the same test rows.

    Returns:
        The Axes; differences in percentage points.

    Raises:
        ArgumentError: If the runs were tested on other rows.
    """
    one_rows = _after_last_stage(one.predictions).set_index("key")
    other_rows = _after_last_stage(other.predictions).set_index("key")
    if set(one_rows.index) != set(other_rows.index):
        raise ArgumentError(
            f"paired(other={other.name!r}): other must be tested on the same rows as one. Take "
            f"runs of one stream, with the same stages done; {one.folder} and {other.folder} were "
            "not tested on the same rows."
        )
    one_right = metrics.is_right(one_rows).astype(float)
    gain = 100 * one_right.sub(metrics.is_right(other_rows))
    per_task = gain.groupby(one_rows["task"]).agg(["mean", "sem"])
    overall = gain.agg(["mean", "sem"]).to_frame("all").T
    rows = pd.concat([per_task, overall])
    ax = axes(9, 1.8 + 0.4 * len(rows))[0]
    ax.errorbar(
        rows["mean"],
        rows.index.astype(str),
        xerr=STANDARD_ERRORS * rows["sem"],
        fmt="o",
        capsize=4,
        color=looks(one).color,
    )
    ax.axvline(0, color="0.5", linestyle="--")
    title = "Which tasks gain, which lose?\n(bars: 95% interval over the test rows of one seed)"
    return titled(ax, title, f"{' minus '.join(run_names([one, other]))} (points)", "task")


@checked
def lost_labels(run: "Run") -> pd.DataFrame:
    """Which labels were lost most between the stage that brought them and the last one.

    Args:
        run: The run.

    Returns:
        One row per label, the most lost first: `task` (from 1), `learned` and `at the end`
        (accuracy after its own stage and after the last, parts of 1), `lost` (their difference)
        and `taken for` (the most frequent wrong answer at the end, "-" if there is none).
    """
    tested = run.predictions.assign(right=metrics.is_right(run.predictions))
    new = tested[tested["stage"] == tested["task"]].groupby("label")
    last = _after_last_stage(tested)
    table = pd.DataFrame(
        {
            "task": new["task"].first(),
            "learned": new["right"].mean(),
            "at the end": last.groupby("label")["right"].mean(),
        }
    )
    table["lost"] = table["learned"] - table["at the end"]
    wrong_answers = last[~last["right"]].groupby("label")["predicted"]
    table["taken for"] = wrong_answers.agg(_most_frequent)  # a label without an error has none
    return table.fillna({"taken for": "-"}).sort_values("lost", ascending=False, kind="stable")


def _after_last_stage(predictions: pd.DataFrame) -> pd.DataFrame:
    """The rows of the ledger that were tested after its last stage."""
    return predictions[predictions["stage"] == predictions["stage"].max()]


def _most_frequent(labels: pd.Series) -> str:
    """The label that stands most often in a column."""
    return str(labels.value_counts().index[0])
