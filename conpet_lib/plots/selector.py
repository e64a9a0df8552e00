"""Selector: how good the choice of a module is, and where it goes wrong.

In: runs of a learner with a selector, or the points of `cp.selector_points`. Out: Axes.
Knows nothing of how the selector was trained. Start at `selector_bound`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from conpet_lib import metrics
from conpet_lib.core.arguments import check_columns, checked
from conpet_lib.core.errors import ArgumentError, ConpetError
from conpet_lib.plots.curves import TOP, Line, draw_lines
from conpet_lib.plots.matrices import heatmap
from conpet_lib.plots.style import PALETTE, Look, axes, looks, titled, write_near

if TYPE_CHECKING:
    from conpet_lib.runs.run import Run

MOST_TASKS_BY_COLOR = 10  # the colour-blind palette has no more colours


@checked
def selector_bound(run: "Run") -> Axes:
    """Average accuracy beside its two factors: is the task chosen rightly, are the modules good.

    Args:
        run: A run of a learner with a selector.

    Returns:
        The Axes; each line in percent of the test rows.

    Raises:
        ConpetError: If the run has no selector.
    """
    _check_selector(run)
    answer = run.average_accuracy
    told = Look("label right, task told", PALETTE[2], "^")
    chosen = Look("task right (selector)", PALETTE[4], "v")
    answered = looks(run)._replace(name="label right (answer)")
    lines = [
        Line(metrics.oracle_accuracy(run.predictions), told),
        Line(metrics.selector_accuracy(run.predictions), chosen),
        Line(answer, answered),
    ]
    return draw_lines(
        axes(11, 5)[0],
        lines,
        len(answer),
        "test rows (%)",
        "Which part limits the answer: the modules or the selector?",
        low=max(0, 100 * answer.min() - 15),
    )


@checked
def selector_confusion(run: "Run", stage: int | None = None) -> Axes:
    """Which task the selector chose (columns) for the test rows of each task (rows).

    Args:
        run: A run of a learner with a selector.
        stage: After which stage, from 1; None is the last one done.

    Returns:
        The Axes; cells are in percent of a row.

    Raises:
        ConpetError: If the run has no selector, or had none after that stage.
    """
    stage = _stage_of_selector(run, stage)
    rows = _predictions_after(run, stage)
    tasks = range(1, stage + 1)
    shares = pd.crosstab(rows["task"], rows["chosen_task"], normalize="index")
    shares = shares.reindex(columns=tasks, fill_value=0)  # a task that was never chosen, too
    shares = shares.reindex(tasks)  # a task without test rows stays empty
    return heatmap(
        100 * shares,
        axes(0.62 * stage + 3.2, 0.6 * stage + 1.8)[0],
        "share of the task's rows (%)",
        f"Stage {stage}: where the selector sends a task's rows",
        "task chosen",
        "true task",
    )


@checked
def calibration(run: "Run", stage: int | None = None) -> Axes:
    """How often the selector is right, by how sure it is; on the diagonal it knows what it knows.

    Args:
        run: A run of a learner with a selector.
        stage: After which stage, from 1; None is the last one done.

    Returns:
        The Axes; one point per bin of confidence, with the number of its test rows.

    Raises:
        ConpetError: If the run has no selector, or had none after that stage.
    """
    stage = _stage_of_selector(run, stage)
    table = metrics.calibration(_predictions_after(run, stage))
    look = looks(run)
    ax = axes(6, 5)[0]
    ax.plot([0, 100], [0, 100], color="0.6", linestyle="--")
    ax.plot(
        100 * table["confidence"], 100 * table["accuracy"], color=look.color, marker=look.marker
    )
    for confidence, accuracy, rows in table.itertuples(index=False):
        write_near(ax, str(rows), (100 * confidence, 100 * accuracy), -18)
    ax.set(xlim=(0, TOP), ylim=(0, TOP))
    return titled(
        ax,
        f"Stage {stage}: is the selector as right as it is sure?\n(numbers: test rows in the bin)",
        "selector's confidence (%)",
        "task chosen rightly (%)",
    )


def _stage_of_selector(run: "Run", stage: int | None) -> int:
    """The stage whose selector is shown; the last one done if none is asked for."""
    _check_selector(run)
    done = run.stage_of(None)
    if stage is not None and run.stage_of(stage) < 2:
        raise ConpetError(
            f"There is no choice of a selector to show after stage {stage}: choose one from 2 "
            f"to {done}. After stage 1 there is one task only."
        )
    return done if stage is None else stage


def _check_selector(run: "Run") -> None:
    """Refuse a run in which nothing chooses among modules."""
    if not run.record.has_selector:
        raise ConpetError(
            f"This run of {looks(run).name!r} has no selector, so there is none to show. A run of "
            "Dynamic ConPET has one from stage 2 on."
        )


def _predictions_after(run: "Run", stage: int) -> pd.DataFrame:
    """The rows of the ledger that were tested after one stage."""
    return run.predictions[run.predictions["stage"] == stage]


@checked
def selector_map(points: pd.DataFrame, marked: int | None = None) -> Axes:
    """Test rows as the selector sees them: one colour per task, crosses for a wrong choice.

    Args:
        points: What `cp.selector_points` gives: columns x, y, task and chosen_task.
        marked: The index of a row to draw a ring around; None draws none.

    Returns:
        The Axes.

    Raises:
        ArgumentError: If the points lack columns, or there is no row `marked`.
    """
    check_columns("selector_map", "points", points, ("x", "y", "task", "chosen_task"))
    if points.empty or (marked is not None and marked not in points.index):
        raise ArgumentError(f"selector_map(marked={marked}): there is no such row in points.")
    is_right = points["task"] == points["chosen_task"]
    shown = points.assign(chosen=np.where(is_right, "right", "wrong"))
    few_tasks = points["task"].max() <= MOST_TASKS_BY_COLOR
    ax = axes(9, 6.5)[0]
    sns.scatterplot(
        shown,
        x="x",
        y="y",
        hue="task",
        palette="colorblind" if few_tasks else "viridis",
        legend="full",
        style="chosen",
        ax=ax,
        markers={"right": "o", "wrong": "X"},
        size="chosen",
        sizes={"right": 30, "wrong": 90},
    )
    if marked is not None:
        _draw_ring(ax, points.loc[marked, "x"], points.loc[marked, "y"])
    return titled(
        ax,
        "How the selector sees the test rows",
        "first main direction (no unit)",
        "second main direction",
        legend=" ",
    )


def _draw_ring(ax: Axes, x: float, y: float) -> None:
    """Draw a thick ring around one point."""
    ax.scatter(x, y, s=400, facecolors="none", edgecolors="black", linewidths=3)


@checked
def repair_frontier(frontier: pd.DataFrame, chosen: Mapping[str, float] | None = None) -> Axes:
    """Accuracy against active modules, from the best one alone to all of them.

    Args:
        frontier: As `SelectorBench.frontier` gives it.
        chosen: A point to mark, as `SelectorBench.try_out` gives it.

    Returns:
        The Axes; accuracy in percent of the rows that are answered.

    Raises:
        ArgumentError: For a table or a point that lacks modules or accuracy.
    """
    check_columns("repair_frontier", "frontier", frontier, ("modules", "accuracy"))
    ax = axes(9, 5)[0]
    percents = 100 * frontier["accuracy"]
    ax.plot(frontier["modules"], percents, color=PALETTE[0], marker="o", label="by doubt")
    if chosen is not None:
        if not {"modules", "accuracy"} <= set(chosen):
            raise ArgumentError("chosen: give what SelectorBench.try_out returns.")
        modules, accuracy = (float(chosen[name]) for name in ("modules", "accuracy"))
        ax.plot(modules, 100 * accuracy, "*", color=PALETTE[1], markersize=18, label="this choice")
    ax.legend()
    titled(
        ax,
        "What do more modules bring?",
        "modules that are active, mean over test rows",
        "label right (%)",
        legend="modules",
    )
    return ax
