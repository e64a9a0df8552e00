"""Matrices: tables of percentages as heat maps.

In: runs, or a table. Out: Axes with the numbers in their cells. Start at `accuracy_heatmaps`.
"""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from pandas.api.types import is_numeric_dtype

from conpet_lib.core.arguments import checked
from conpet_lib.core.errors import ArgumentError
from conpet_lib.plots.names import as_runs, run_names
from conpet_lib.plots.style import panels_of, titled

if TYPE_CHECKING:
    from conpet_lib.runs.run import Run

MOST_ROWS_WITH_NUMBERS = 12  # more would not be legible
LONGEST_NAME = 36  # signs of a line above a panel


@checked
def heatmap(
    table: pd.DataFrame,
    ax: Axes,
    says: str,
    title: str,
    xlabel: str | None = None,
    ylabel: str | None = None,
    *,
    bar: bool = True,
) -> Axes:
    """Draw a table of percentages in colours that can be told apart even in grey.

    Args:
        table: Percentages, from 0 to 100; a small table has its values in the cells.
        ax: The panel to draw into.
        says: What the colours show, with the unit; stands beside the colour bar.
        title: What the panel shows.
        xlabel: What the columns are.
        ylabel: What the rows are.
        bar: Whether to draw the colour bar.

    Returns:
        The same Axes.

    Raises:
        ArgumentError: If the table is empty, or holds something other than numbers.
    """
    if not table.size or not all(map(is_numeric_dtype, table.dtypes)):
        raise ArgumentError("heatmap(table=<DataFrame>): table must hold numbers.")
    sns.heatmap(
        table,
        ax=ax,
        vmin=0,
        vmax=100,
        cmap="cividis",
        annot=len(table) <= MOST_ROWS_WITH_NUMBERS,
        fmt=".0f",
        square=True,
        annot_kws={"fontsize": 13},
        cbar=bar,
        cbar_kws={"label": says, "shrink": 0.8},
    )
    ax.tick_params(rotation=0)
    return titled(ax, title, xlabel, ylabel, fontsize=14)


@checked
def accuracy_heatmaps(runs: "Sequence[Run] | Run") -> Axes:
    """The accuracy matrices `R[k, i]` of runs side by side, their values in the cells.

    Args:
        runs: The runs, three in a row at most, or one. Values are in percent; the last panel has
            the colour bar.

    Returns:
        The Axes of the first panel; `.figure` has all of them.

    Raises:
        ConpetError: If there is no run, or no stage of one is done.
    """
    runs = as_runs(runs)
    panels = panels_of(len(runs), 5.2, 6.0, 0.5)
    for ax, run, name in zip(panels, runs, run_names(runs)):
        heatmap(
            _with_untested_named(100 * run.accuracy_matrix),
            ax,
            "accuracy (%)",
            "\n".join(textwrap.wrap(name, LONGEST_NAME)),
            "task tested",
            "after stage",
            bar=ax is panels[-1],
        )
    panels[0].figure.supxlabel("read a column downwards to see forgetting", fontsize=12)
    return panels[0]


def _with_untested_named(matrix: pd.DataFrame) -> pd.DataFrame:
    """The matrix with the words "no rows" below the number of each task without test rows."""
    untested = matrix.columns[matrix.isna().all()]
    return matrix.rename(columns={task: f"{task}\nno rows" for task in untested})
