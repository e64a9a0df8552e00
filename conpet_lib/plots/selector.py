"""Plots: figures that read from the last row of a room, also for the colour-blind.
In: runs, or tables of accuracies as parts of 1. Out: matplotlib Axes. Figures are made without pyplot's global state,
so that widgets may draw from a thread. May import `metrics`, trains nothing. Start at `forgetting_curves`."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from conpet_lib import metrics
from conpet_lib.plots.curves import draw_lines
from conpet_lib.plots.matrices import heatmap
from conpet_lib.plots.style import NEAR, PALETTE, axes, looks, titled


def selector_bound(run) -> Axes:
    """Average accuracy beside its two factors: how often the task is chosen rightly, and how good the modules are."""
    answer = run.average_accuracy
    lines = [
        (metrics.oracle_accuracy(run.predictions), "label right, task told", PALETTE[2], "^"),
        (metrics.selector_accuracy(run.predictions), "task right (selector)", PALETTE[4], "v"),
        (answer, "label right (answer)", *looks(run)[1:]),
    ]
    return draw_lines(
        axes(11, 5)[0],
        lines,
        len(answer),
        "test rows (%)",
        "Which part limits the answer: the modules or the selector?",
        max(0, 100 * answer.min() - 15),
    )


def selector_confusion(run, stage: int | None = None) -> Axes:
    """Which task the selector chose (columns) for test rows of each task (rows), as % of a row; default: last stage."""
    stage = stage or run.record.stages_done
    rows, tasks = run.predictions.query("stage == @stage"), range(1, stage + 1)
    shares = (
        pd.crosstab(rows["task"], rows["chosen_task"], normalize="index")
        .reindex(tasks, columns=tasks)
        .fillna(0)
    )
    return heatmap(
        100 * shares,
        axes(0.62 * stage + 3.2, 0.6 * stage + 1.8)[0],
        "share of the task's rows (%)",
        f"Stage {stage}: where the selector sends a task's rows",
        "task chosen",
        "true task",
    )


def calibration(run, stage: int | None = None) -> Axes:
    """How often the selector is right, by how sure it is; on the diagonal it knows what it knows."""
    stage = stage or run.record.stages_done
    table = metrics.calibration(run.predictions.query("stage == @stage"))
    ax, (_, color, marker) = axes(6, 5)[0], looks(run)
    ax.plot([0, 100], [0, 100], color="0.6", linestyle="--")
    ax.plot(100 * table["confidence"], 100 * table["accuracy"], color=color, marker=marker)
    for confidence, accuracy, rows in table.itertuples(index=False):
        ax.annotate(str(rows), (100 * confidence, 100 * accuracy), (0, -18), **NEAR)
    ax.set(xlim=(0, 103), ylim=(0, 103))
    return titled(
        ax,
        f"Stage {stage}: is the selector as right as it is sure?\n(numbers: test rows in the bin)",
        "selector's confidence (%)",
        "task chosen rightly (%)",
    )


def selector_map(points: pd.DataFrame, marked: int | None = None) -> Axes:
    """Test rows of `selector_points`, a colour a task; crosses were sent to a wrong task; a ring marks one row."""
    shown = points.assign(
        chosen=np.where(points["task"] == points["chosen_task"], "right", "wrong")
    )
    ax, colors = axes(9, 6.5)[0], "colorblind" if points["task"].max() <= 10 else "viridis"
    sns.scatterplot(
        shown,
        x="x",
        y="y",
        hue="task",
        palette=colors,
        legend="full",
        style="chosen",
        ax=ax,
        markers={"right": "o", "wrong": "X"},
        size="chosen",
        sizes={"right": 30, "wrong": 90},
    )
    if marked is not None:
        ax.scatter(
            *points.loc[marked, ["x", "y"]],
            s=400,
            facecolors="none",
            edgecolors="black",
            linewidths=3,
        )
    return titled(
        ax,
        "How the selector sees the test rows",
        "first main direction (no unit)",
        "second main direction",
        legend=" ",
    )
