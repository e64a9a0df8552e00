"""Lettering: words of a figure drawn as they are written, in whatever script.

In: the panels of a figure. Out: the same panels, in which a dollar sign begins no formula and every
sign that some font of the machine has is drawn. Knows nothing of what a figure shows. Start at
`draw_as_written`.
"""

import functools
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.category import StrCategoryLocator
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

# Families that have what the default one lacks; each system brings one or the other.
WIDE_FAMILIES = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Noto Sans JP",
    "Noto Sans KR",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "SimHei",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Segoe UI",
    "Arial Unicode MS",
    "Unifont",
)
MISSING = re.compile(r"Glyph \d+ .* missing from|Matplotlib currently does not support")


class LetteredFigure(Figure):
    """A figure that warns once in all of signs that no font has, and not once per sign."""

    def draw(self, renderer: Any) -> None:
        """Draw the figure; boxes stand for signs that no font has.

        Args:
            renderer: Of matplotlib.
        """
        with _one_warning():
            super().draw(renderer)


def draw_as_written(ax: Axes) -> None:
    """Let the words of a panel be drawn as they are written.

    Args:
        ax: The panel, with all its words. The numbers of an axis are left alone, because those of
            a logarithmic one are formulas.
    """
    numbers: set[Any] = set()
    for axis in (ax.xaxis, ax.yaxis):
        if _has_names(axis):
            axis.get_ticklabels()  # there are none before they are asked for
        else:
            numbers |= {*axis.findobj(Text)} - {axis.label}
    for text in ax.findobj(Text):
        if isinstance(text, Text) and text not in numbers:
            _draw_text_as_written(text)


def _has_names(axis: Axis) -> bool:
    """Whether the ticks of an axis are named by texts."""
    return isinstance(axis.get_major_locator(), (StrCategoryLocator, FixedLocator))


def _draw_text_as_written(text: Text) -> None:
    """Read no formula in a text, and let other fonts help out with what the first one lacks."""
    text.set_parse_math(False)
    if not text.get_text().isascii():
        text.set_fontfamily([*text.get_fontfamily(), *_wide_families()])


@functools.cache
def _wide_families() -> tuple[str, ...]:
    """Those of the wide families that this machine has."""
    installed = set(fontManager.get_font_names())
    return tuple(family for family in WIDE_FAMILIES if family in installed)


@contextmanager
def _one_warning() -> Iterator[None]:
    """Warn once that signs are missing, and of all else as usual."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if MISSING.match(str(warning.message)):
            _warn_of_missing_signs()
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )


@functools.cache
def _warn_of_missing_signs() -> None:
    """Warn that boxes are drawn; at the first call only."""
    warnings.warn(
        "No font of this machine has some signs of these labels, and boxes are drawn in their "
        "place. Install such a font, for example Noto Sans CJK, and start Python again.",
        UserWarning,
        stacklevel=2,
    )
