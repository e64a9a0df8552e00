"""Plots: figures that read from the last row of a room, also for the colour-blind.
In: runs, or tables of accuracies as parts of 1. Out: matplotlib Axes. Figures are made without pyplot's global state,
so that widgets may draw from a thread. May import `metrics`, trains nothing. Start at `forgetting_curves`."""

import io
import os

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread, imsave

from conpet_lib.learners.methods import methods

PALETTE = sns.color_palette("colorblind")


LUMINANCE = np.tile([[0.2126], [0.7152], [0.0722]], 3)  # of red, green and blue (ITU-R BT.709)


NEAR = {
    "textcoords": "offset points",
    "ha": "center",
    "fontsize": 10,
}  # of a word some points away from its place


LOOKS = {
    learner: (row["name"], PALETTE[row["colour"]], row["marker"])
    for learner, row in methods().iterrows()
}


def looks(run) -> tuple[str, tuple, str]:
    """Name, colour and marker of a run's learner, its module budget with the name if there is one."""
    (name, color, marker), count = (
        LOOKS.get(run.name, (run.name, PALETTE[3], "^")),
        run.record.config.get("modules"),
    )
    return f"{name}, budget {count}" if count else name, color, marker


class Shown(Axes):
    """Axes that a notebook shows by themselves: a PNG of their whole figure at 2x, without pyplot."""

    def _repr_png_(self) -> tuple[bytes, dict]:
        return png(self), {"width": int(100 * self.figure.get_figwidth())}


def png(ax: Axes, scale: int = 2) -> bytes:
    """The whole figure of `ax` as PNG, `scale` x 100 dots an inch; for dark pages where `$CONPET_LOOK` is "dark"."""
    file, look = io.BytesIO(), {"format": "png", "dpi": 100 * scale, "metadata": {"Software": None}}
    ax.figure.savefig(file, **look)
    if (
        os.environ.get("CONPET_LOOK") == "dark"
    ):  # light and dark change places, each colour keeps its hue
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
        sns.move_legend(
            ax, "center left", title=legend, fontsize=11, bbox_to_anchor=(1, 0.5), frameon=False
        )
    return ax
