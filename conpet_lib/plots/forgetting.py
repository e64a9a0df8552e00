"""Forgetting taken apart: why rows that were right are wrong now, stage by stage.

In: runs, or the table of `cp.forgetting_split`. Out: Axes. Start at `forgetting_causes`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from conpet_lib import metrics
from conpet_lib.core.arguments import checked
from conpet_lib.plots.names import as_runs, run_looks
from conpet_lib.plots.style import PALETTE, at_left, panels_of, titled

if TYPE_CHECKING:
    from conpet_lib.runs.run import Run

# Colour and hatching of each cause, from below to above; hatching is for readers in grey.
CAUSES = {
    "outvoted": (PALETTE[1], ""),
    "misrouted": (PALETTE[0], "//"),
    "wrong within its task": (PALETTE[7], ".."),
    "confused": (PALETTE[4], "xx"),
    "gone": ("black", ""),
}


@checked
def forgetting_causes(runs: "Sequence[Run] | Run") -> Axes:
    """Why test rows that were right are wrong after each stage, one panel per run.

    Args:
        runs: The runs, three in a row at most, or one.

    Returns:
        The Axes of the first panel; `.figure` has all of them. A bar is the mean over the tasks
        seen, in percent of a task's test rows.

    Raises:
        ConpetError: If there is no run, or no stage of one is done.
    """
    runs = as_runs(runs)
    panels = panels_of(len(runs), 4.6, 4.8, 2.6)
    splits = [metrics.forgetting_split(run.predictions).groupby("stage").mean() for run in runs]
    top = max(5.0, *(105 * split["lost"].max() for split in splits))
    for ax, split, look in zip(panels, splits, run_looks(runs)):
        _draw_bars(ax, split)
        ax.set_ylim(0, top)
        ylabel = "test rows lost (%)" if at_left(ax) else ""
        titled(ax, look.name, "stage (tasks seen)", ylabel)
    panels[-1].legend()
    titled(panels[-1], panels[-1].get_title(loc="left"), legend="lost because")
    return panels[0]


def _draw_bars(ax: Axes, split: pd.DataFrame) -> None:
    """Draw a bar for each stage, its causes above each other."""
    bottom = np.zeros(len(split))
    for cause, (colour, hatch) in CAUSES.items():
        if cause not in split:
            continue
        heights = 100 * split[cause].to_numpy()
        ax.bar(
            split.index,
            heights,
            bottom=bottom,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            label=cause,
        )
        bottom += heights
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
