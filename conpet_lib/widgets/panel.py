"""Panel: controls with plain values, words for what is wrong, and the code of the settings.

In: widgets by the name of the setting. Out: `.config`, `.code`, `.problem`, `.view`. Results reach
the screen as updates of widgets, never by print or pyplot, so that a panel works in every notebook
front end, also when a worker thread draws.

May import `plots` and `core.errors`. Knows nothing of what a panel is for. Start at `Panel`.
"""

import html
from collections.abc import Sequence
from typing import Any

import pandas as pd
from ipywidgets import (
    HTML,
    BoundedIntText,
    Dropdown,
    HBox,
    Image,
    IntSlider,
    SelectMultiple,
    Text,
    VBox,
    Widget,
)
from matplotlib.axes import Axes

from conpet_lib.core.errors import ConpetError
from conpet_lib.plots import png

LARGEST_NUMBER = 10_000  # of a number box, which has no end of its own


def control(
    value: Any,
    name: str,
    tip: str,
    options: Sequence[Any] = (),
    low: int = 0,
    high: int = 0,
) -> Widget:
    """Make the widget that fits a value: a list, a menu, a text box, a slider or a number box.

    Args:
        value: What is chosen at first. A tuple makes a list from which several can be chosen; a
            text or a number makes a menu if there are `options`, otherwise a box or a slider.
        name: The label beside the widget.
        tip: What the mouse shows over it.
        options: What can be chosen; an option may be a pair of what is shown and its value.
        low: The smallest number.
        high: The largest number, which makes a slider; 0 makes a number box.

    Returns:
        A widget with the trait `value`.
    """
    looks = {
        "value": value,
        "description": name,
        "tooltip": tip,
        "style": {"description_width": "9em"},
        "layout": {"width": "26em"},
    }
    if isinstance(value, tuple):
        return SelectMultiple(options=options, rows=6, **looks)
    if options:
        return Dropdown(options=options, **looks)
    # A value is taken when it is final, because a panel computes at each change.
    if isinstance(value, str):
        return Text(continuous_update=False, **looks)
    if high:
        return IntSlider(min=low, max=high, continuous_update=False, **looks)
    return BoundedIntText(min=low, max=LARGEST_NUMBER, continuous_update=False, **looks)


class Panel:
    """Controls beside what they show.

    A subclass overrides `show`, which computes and shows what the settings ask for. `show` runs
    once when the panel is made, and again whenever a control changes.

    Args:
        controls: Widgets by the setting that they choose, in the order in which they are shown.
        below: Further widgets, which are shown below the controls.

    Attributes:
        template: The code of the panel, with the names of settings in braces; a subclass for which
            this is not enough sets `code` in `show`.
        controls: Widgets by setting.
        config: Their plain values by setting.
        code: The calls that do the same without the panel, on what it was made with under the same
            names.
        problem: What is wrong with the settings, in words; "" if nothing is.
        status: A line of words about what was done.
        table: The table that is shown, as HTML.
        picture: The figure that is shown, as a PNG.
        text: The code as it is shown.
        view: The box that holds all of them.
    """

    template = ""

    def __init__(self, controls: dict[str, Widget], *below: Widget):
        self.controls = controls
        self.problem = ""
        self.code = ""
        self.status = HTML()
        self.table = HTML()
        self.text = HTML()
        self.picture = Image(format="png", layout={"max_width": "60em", "display": "none"})
        # Without "none" a wide table would squeeze the controls.
        column = VBox(list(controls.values()), layout={"flex": "none"})
        head = HBox([column, self.table])
        self.view = VBox([head, *below, self.status, self.picture, self.text])
        for widget in controls.values():
            widget.observe(lambda change: self.refresh(), "value")
        self.refresh()

    @property
    def config(self) -> dict[str, Any]:
        """The present settings, as plain values by name."""
        return {name: widget.value for name, widget in self.controls.items()}

    def show(self) -> None:
        """Compute and show what the settings ask for.

        Raises:
            ConpetError: If the library refuses them. `refresh` catches all three and shows them.
            ValueError: If a value breaks the rule of its setting.
            TypeError: If a config has no such setting, or cannot compare its value.
        """

    def refresh(self) -> None:
        """Show what the present settings ask for, or say in words why they do not work."""
        self.problem = ""
        self.status.value = ""
        self.code = self.template.format(**self.config)
        try:
            self.show()
        except (ConpetError, TypeError, ValueError) as error:
            self._show_problem(str(error))
        code = html.escape(self.code)
        self.text.value = f"<b>The code of these settings</b><pre>{code}</pre>"

    def draw(self, ax: Axes) -> None:
        """Show a figure.

        Args:
            ax: Axes of it; the whole figure is shown.
        """
        self.picture.value = png(ax, 1)
        self.picture.layout.display = ""

    def tabulate(self, table: pd.DataFrame) -> None:
        """Show a table.

        Args:
            table: Its index is shown too, with the index's name at the head of the column.
        """
        table = table.rename_axis(index=None, columns=table.index.name)
        self.table.value = table.to_html(border=0, justify="left", col_space=70)

    def _show_problem(self, problem: str) -> None:
        """Say what is wrong, and show no result, because the last one was of other settings."""
        self.problem = problem
        self.table.value = ""
        self._hide_picture()
        self.status.value = f"<b>These settings do not work.</b> {html.escape(problem)}"

    def _hide_picture(self) -> None:
        """Show no figure until the next one is drawn."""
        self.picture.layout.display = "none"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """The live panel; without a kernel, tables of its settings and results, and its code."""
        settings = pd.DataFrame([self.config]).astype(str).to_html(index=False, border=0)
        return {
            **self.view._repr_mimebundle_(),
            "text/html": settings + self.table.value + self.text.value,
            "text/plain": self.code,
        }
