"""Plots: figures that read from the last row of a room, also for the colour-blind.
In: runs, or tables of accuracies as parts of 1. Out: matplotlib Axes. Figures are made without pyplot's global state,
so that widgets may draw from a thread. May import `metrics`, trains nothing. Start at `forgetting_curves`."""

from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from conpet_lib.plots.style import axes, looks, titled


def heatmap(
    table: pd.DataFrame, ax: Axes, says: str, title: str, *labels: str, bar: bool = True
) -> Axes:
    """A table of percentages, its values in the cells, colours even in grey; `says` stands beside the colour bar."""
    sns.heatmap(
        table,
        ax=ax,
        vmin=0,
        vmax=100,
        cmap="cividis",
        annot=len(table) <= 12,
        fmt=".0f",
        square=True,
        annot_kws={"fontsize": 13},
        cbar=bar,
        cbar_kws={"label": says, "shrink": 0.8},
    )
    ax.tick_params(rotation=0)
    return titled(ax, title, *labels, fontsize=14)


def accuracy_heatmaps(runs: Sequence) -> Axes:
    """The accuracy matrices R[k, i] of runs side by side, values in the cells (%); returns the first panel's Axes."""
    panels = axes(5.2 * len(runs) + 0.5, 6.0, len(runs))
    for ax, run in zip(panels, runs):
        heatmap(
            100 * run.accuracy_matrix,
            ax,
            "accuracy (%)",
            looks(run)[0],
            "task tested",
            "after stage",
            bar=ax is panels[-1],
        )
    panels[0].figure.supxlabel("read a column downwards to see forgetting", fontsize=12)
    return panels[0]
