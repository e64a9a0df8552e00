"""Controls: the widgets of a panel, which take a value as it is given or let it be refused.

In: a value, its name, what may be chosen. Out: a widget with the trait `value`. None of them moves
a value to the nearest that it can show: a slider grows, and `check_number` refuses in words what
cannot work. May import `core.errors`. Knows nothing of panels. Start at `number`.
"""

import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

from ipywidgets import Dropdown, FloatText, IntSlider, SelectMultiple, Text, Widget
from traitlets import TraitType, validate

from conpet_lib.core.errors import ConpetError, check_known


class Number(TraitType[Any, Any]):
    """A trait that keeps a number as it is given: 4 stays whole, 2.5 is not made 2."""

    info_text = "a number"
    default_value = 0

    def validate(self, obj: Any, value: Any) -> Any:
        """Refuse what is no number; numbers of numpy become Python's.

        Args:
            obj: The widget.
            value: What is given.

        Returns:
            The number.
        """
        if isinstance(value, numbers.Integral):
            return int(value)
        if isinstance(value, numbers.Real):
            return float(value)
        return self.error(obj, value)


class NumberBox(FloatText):
    """A box for a number. It takes 2.5, to be refused; a box for whole numbers would make it 25.

    Attributes:
        lowest: The smallest number that works; None if there is none.
        highest: The largest number that works; None if there is none.
    """

    value = Number().tag(sync=True)
    lowest: int | None = None
    highest: int | None = None


class NumberSlider(IntSlider):
    """A slider that grows where a value lies beyond its ends.

    Attributes:
        lowest: The smallest number that works.
        highest: The largest number that works; None if there is none.
    """

    value = Number().tag(sync=True)
    min: int
    max: int
    lowest: int | None = None
    highest: int | None = None

    @validate("value")
    def _validate_value(self, proposal: Any) -> Any:
        value = proposal["value"]
        if math.isfinite(value):
            self.min = min(self.min, math.floor(value))
            self.max = max(self.max, math.ceil(value))
        return value


def number(
    value: Any,
    name: str,
    tip: str,
    low: int | None = None,
    high: int | None = None,
    slider: int | None = None,
) -> Widget:
    """Make a control of a whole number: a box, or a slider.

    Args:
        value: The number at first.
        name: The label beside the widget.
        tip: What the mouse shows over it.
        low: The smallest number that works; None if there is none.
        high: The largest number that works; None if there is none.
        slider: Where a slider ends at first; None makes a box.

    Returns:
        A widget with the trait `value`.

    Raises:
        ConpetError: If the value is no number.
    """
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise ConpetError(f"{name}: {value!r} is not a number. {_wanted(low, high)}")
    looks = _looks(name, tip)
    if slider is None:
        widget = NumberBox(value=value, step=1, continuous_update=False, **looks)
    else:
        widget = NumberSlider(
            value=low or 0, min=low or 0, max=slider, continuous_update=False, **looks
        )
        widget.value = value
    widget.lowest = low
    widget.highest = high
    return widget


def check_number(widget: Widget) -> None:
    """Refuse the number of a control that is not whole or out of range; others pass.

    Args:
        widget: Any control.

    Raises:
        ValueError: With the range in words.
    """
    if not isinstance(widget, (NumberBox, NumberSlider)):
        return
    low = widget.lowest
    high = widget.highest
    value = widget.value
    is_whole = isinstance(value, int)
    too_low = low is not None and value < low
    too_high = high is not None and value > high
    if not is_whole or too_low or too_high:
        raise ValueError(f"{widget.description}: {value:,} does not work. {_wanted(low, high)}")


def menu(value: Any, name: str, tip: str, options: Sequence[Any]) -> Dropdown:
    """Make a control of one choice.

    Args:
        value: What is chosen at first; None chooses nothing.
        name: The label beside the widget.
        tip: What the mouse shows over it.
        options: What can be chosen; an option may be a pair of what is shown and its value.

    Returns:
        A widget with the trait `value`.

    Raises:
        ConpetError: If there is no such option.
    """
    if value is not None:
        check_known(name, value, _values(options))
    return Dropdown(options=options, value=value, **_looks(name, tip))


def list_box(chosen: Iterable[Any], name: str, tip: str, options: Sequence[Any]) -> SelectMultiple:
    """Make a control of several choices.

    Args:
        chosen: What is chosen at first; one text alone is one choice.
        name: The label beside the widget.
        tip: What the mouse shows over it.
        options: What can be chosen; an option may be a pair of what is shown and its value.

    Returns:
        A widget with the trait `value`.

    Raises:
        ConpetError: If there is no such option.
    """
    value = (chosen,) if isinstance(chosen, str) else tuple(chosen)
    for each in value:
        check_known(name, each, _values(options))
    return SelectMultiple(options=options, value=value, rows=6, **_looks(name, tip))


def text_box(value: str, name: str, tip: str) -> Text:
    """Make a control of a text, which is taken when it is final.

    Args:
        value: The text at first.
        name: The label beside the widget.
        tip: What the mouse shows over it.

    Returns:
        A widget with the trait `value`.

    Raises:
        ConpetError: If the value is no text.
    """
    if not isinstance(value, str):
        raise ConpetError(f"{name}: {value!r} is not a text. Give a text in quotes.")
    return Text(value=value, continuous_update=False, **_looks(name, tip))


def _looks(name: str, tip: str) -> dict[str, Any]:
    """What all controls have in common."""
    return {
        "description": name,
        "tooltip": tip,
        "style": {"description_width": "9em"},
        "layout": {"width": "26em"},
    }


def _values(options: Sequence[Any]) -> list[Any]:
    """The values of options, some of which may be pairs of what is shown and its value."""
    return [option[1] if isinstance(option, tuple) else option for option in options]


def _wanted(low: int | None, high: int | None) -> str:
    """The range of a number, in words."""
    if low is not None and high is not None:
        return f"Choose a whole number from {low:,} to {high:,}."
    if low is not None:
        return f"Choose a whole number of {low:,} or more."
    if high is not None:
        return f"Choose a whole number up to {high:,}."
    return "Choose a whole number."
