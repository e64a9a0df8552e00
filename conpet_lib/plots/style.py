"""Style: how every figure looks, and how a figure becomes a picture.

In: sizes, titles, the name of a learner. Out: empty Axes, colours and markers, PNG bytes.
May import `learners` for the table of methods. Knows nothing of what a figure shows.
Start at `axes` and `titled`; `looks` gives a run its name, colour and marker.
"""

import io
import math
import os
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread, imsave

from conpet_lib.core.arguments import Positive, checked
from conpet_lib.core.errors import ArgumentError
from conpet_lib.core.kinds import Rule
from conpet_lib.learners.methods import methods
from conpet_lib.plots.lettering import LetteredFigure, draw_as_written

Color = tuple[float, float, float]  # red, green and blue, each from 0 to 1

PALETTE: list[Color] = sns.color_palette("colorblind")
OTHER_COLOR = PALETTE[3]  # of a learner that is not in the table of methods
OTHER_MARKER = "^"

DOTS_PER_INCH = 100
MOST_IN_A_ROW = 3  # panels; more could not be read on a slide
MOST_DOTS = 2**16 - 1  # of a picture's side, as matplotlib draws it
SOME = Rule(lambda runs: len(runs) > 0, "a list of one run or more")
Inches = Annotated[float, Rule(lambda size: 0 < size <= 1000, "a number above 0, at most 1,000")]
Panels = Annotated[int, Rule(lambda count: 1 <= count <= 100, "a whole number from 1 to 100")]
LUMINANCE_WEIGHTS = np.array([0.2126, 0.7152, 0.0722])  # of red, green and blue (ITU-R BT.709)


@runtime_checkable
class Recorded(Protocol):
    """What has a method's name, and a record with its settings, as a `Run` has."""

    name: str
    record: Any


class Look(NamedTuple):
    """How the lines of one learner look; the same in every figure.

    Attributes:
        name: What a legend or a title calls it.
        color: Red, green and blue, from 0 to 1.
        marker: A matplotlib marker, so that lines can be told apart without colours.
    """

    name: str
    color: Color
    marker: str


@checked
def learner_look(learner: str) -> Look:
    """Name, colour and marker of a learner.

    The table of methods is asked at every call, because a notebook may register a method of its
    own after this file was imported.

    Args:
        learner: A key of the table of methods, such as "static". Any other name is shown as it
            is, in a colour and with a marker that are the same for all such names.

    Returns:
        The look from the table's columns `name`, `colour` (a place in `PALETTE`) and `marker`.
    """
    table = methods()
    if learner not in table.index:
        return Look(learner, OTHER_COLOR, OTHER_MARKER)
    row = table.loc[learner]
    return Look(row["name"], PALETTE[int(row["colour"])], row["marker"])


@checked
def looks(run: Recorded) -> Look:
    """Name, colour and marker of a run's learner; `run_looks` tells several runs apart.

    Args:
        run: The run; if its config has a module budget, the budget stands beside the name.

    Returns:
        `(name, color, marker)`.
    """
    look = learner_look(run.name)
    budget = run.record.config.get("modules")
    if budget:
        return look._replace(name=f"{look.name}, budget {budget}")
    return look


class Shown(Axes):
    """Axes that a notebook shows by themselves: a PNG of the whole figure at 2x, without pyplot."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The picture, and the width in CSS pixels at which it is shown."""
        width = DOTS_PER_INCH * _figure(self).get_figwidth()
        return png(self), {"width": int(width)}


@checked
def png(ax: Axes, scale: Positive = 2) -> bytes:
    """The whole figure of an Axes as a PNG.

    Where the environment variable `CONPET_LOOK` is "dark", light and dark change places and each
    colour keeps its hue, for pages with a dark background.

    Args:
        ax: Any Axes of the figure.
        scale: Dots per hundredth of an inch; 2 is sharp on screens with small pixels.

    Returns:
        The content of a PNG file. It does not name the matplotlib version, so that equal figures
        are equal bytes.

    Raises:
        ArgumentError: If the figure was removed, or is too large at this scale.
    """
    dots = max(_figure(ax).get_size_inches()) * DOTS_PER_INCH * scale
    if dots > MOST_DOTS:
        raise ArgumentError(f"png(scale={scale}): the picture would have {dots:,.0f} dots a side.")
    file = io.BytesIO()
    form: dict[str, Any] = {
        "format": "png",
        "dpi": DOTS_PER_INCH * scale,
        "metadata": {"Software": None},
    }
    _figure(ax).savefig(file, **form)
    if os.environ.get("CONPET_LOOK") != "dark":
        return file.getvalue()
    file.seek(0)
    dark_file = io.BytesIO()
    imsave(dark_file, _darkened(imread(file)), **form)
    return dark_file.getvalue()


def _figure(ax: Axes) -> Figure:
    """The figure in which an Axes stands."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ArgumentError("These Axes were removed from their figure.")
    return figure


def _darkened(pixels: np.ndarray) -> np.ndarray:
    """The colours of a picture with light and dark exchanged.

    Adding the same amount to red, green and blue keeps the hue. 1 - 2 x luminance is the amount
    that turns white into black and black into white.
    """
    colors = pixels[..., :3]  # without the opacity
    weights = np.tile(LUMINANCE_WEIGHTS[:, None], 3)
    exchanged: np.ndarray = colors + 1 - 2 * colors @ weights
    return exchanged.clip(0, 1)


@checked
def axes(width: Inches = 9.0, height: Inches = 5.0, columns: Panels = 1) -> list[Axes]:
    """Empty Axes of a new figure in the style of a projected slide (seaborn's "talk").

    Args:
        width: Of the whole figure, in inches.
        height: Of the whole figure, in inches.
        columns: Number of panels side by side.

    Returns:
        The panels from left to right.
    """
    return _grid(width, height, 1, columns)


def panels_of(count: int, width: float, height: float, margin: float) -> list[Axes]:
    """Empty Axes of a figure with a panel for each of several things, three in a row at most.

    Args:
        count: How many panels.
        width: Of a panel, in inches.
        height: Of a panel, in inches.
        margin: What the whole figure is wider than its panels, in inches.

    Returns:
        The panels, row by row from left to right.
    """
    rows = math.ceil(count / MOST_IN_A_ROW)
    columns = math.ceil(count / rows)
    panels = _grid(width * columns + margin, height * rows, rows, columns)
    for panel in panels[count:]:
        panel.remove()
    return panels[:count]


def at_left(ax: Axes) -> bool:
    """Whether a panel is the first of its row, which has the label of the y axis for all.

    Args:
        ax: A panel of `axes` or `panels_of`.
    """
    place = ax.get_subplotspec()
    return place is not None and place.is_first_col()


def _grid(width: float, height: float, rows: int, columns: int) -> list[Axes]:
    """The Axes of a figure, row by row."""
    with sns.axes_style("ticks"), sns.plotting_context("talk", font_scale=0.8):
        figure = LetteredFigure(figsize=(width, height), layout="constrained", dpi=DOTS_PER_INCH)
        grid = figure.subplots(rows, columns, squeeze=False, subplot_kw={"axes_class": Shown})
    sns.despine(figure)
    panels: list[Axes] = grid.ravel().tolist()
    return panels


@checked
def titled(
    ax: Axes,
    title: str,
    xlabel: str | None = None,
    ylabel: str | None = None,
    *,
    legend: str = "",
    **font: Any,
) -> Axes:
    """Give a panel its title, the labels of its axes, and a place beside it for its legend.

    All words of the panel are drawn as they are written: a dollar sign begins no formula.

    Args:
        ax: The panel, with all else in it.
        title: What the figure asks or shows; stands above, at the left.
        xlabel: What the x axis shows, with its unit; None leaves it as it is.
        ylabel: The same for the y axis.
        legend: The title of the legend; "" leaves the legend as it is.
        **font: Passed on to the title, such as `fontsize`.

    Returns:
        The same Axes.

    Raises:
        ArgumentError: If the legend is to be moved and there is none.
    """
    if legend and ax.get_legend() is None:
        raise ArgumentError(f"titled(legend={legend!r}): the panel has no legend that could move.")
    if xlabel is not None:
        ax.set_xlabel(xlabel)
    if ylabel is not None:
        ax.set_ylabel(ylabel)
    ax.set_title(title, loc="left", **font)
    if legend:
        sns.move_legend(
            ax, "center left", title=legend, fontsize=11, bbox_to_anchor=(1, 0.5), frameon=False
        )
    draw_as_written(ax)
    return ax


def write_near(
    ax: Axes,
    text: str,
    point: tuple[float, float],
    points_up: float,
    fontsize: float = 10,
    color: Color | None = None,
) -> None:
    """Write a word above or below a point of the figure, centred on it.

    Args:
        ax: The panel.
        text: The word.
        point: `(x, y)` in units of the axes.
        points_up: How far above the point the word begins, in typographic points (1/72 inch);
            below it if negative.
        fontsize: In typographic points.
        color: Of the word; None is black.
    """
    ax.annotate(
        text,
        point,
        (0, points_up),
        textcoords="offset points",
        ha="center",
        fontsize=fontsize,
        color=color,
    )
