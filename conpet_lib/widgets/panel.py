"""Panel: controls with plain values, words for what is wrong, and the code of the settings.

In: widgets by the name of the setting. Out: `.config`, `.code`, `.problem`, `.view`. Results reach
the screen as updates of widgets, never by print or pyplot, so that a panel works in every notebook
front end, also when a worker thread draws.

May import `plots`, `core.errors` and `core.showing`. Knows nothing of what a panel is for. Its
controls are made by `controls`. Start at `Panel`.
"""

import numbers
from collections.abc import Mapping
from typing import Any

import pandas as pd
from ipywidgets import HTML, HBox, Image, VBox, Widget
from matplotlib.axes import Axes

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.showing import as_cell, as_html
from conpet_lib.plots import png
from conpet_lib.widgets.caller import page_names
from conpet_lib.widgets.controls import check_number


class Panel:
    """Controls beside what they show.

    A subclass overrides `write_code` and `show`, which computes and shows what the settings ask
    for. Both run once when the panel is made, and again whenever a control changes.

    Args:
        controls: Widgets by the setting that they choose, in the order in which they are shown.
        below: Further widgets, which are shown below the controls.

    Attributes:
        controls: Widgets by setting.
        page: The variables of the page that made the panel, for the names in its code.
        config: Their plain values by setting.
        code: The calls that do the same without the panel, with the names that the page has for
            what the panel was made with.
        problem: What is wrong with the settings, in words; "" if nothing is.
        status: A line of words about what was done.
        table: The table that is shown, as HTML.
        picture: The figure that is shown, as a PNG.
        text: The code as it is shown.
        view: The box that holds all of them.
    """

    page: Mapping[str, Any]

    def __init__(self, controls: dict[str, Widget], *below: Widget):
        self.page = page_names()
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

    def write_code(self) -> str:
        """Write the code of the present settings; a subclass may set `code` in `show` instead.

        Returns:
            Lines of code.
        """
        return ""

    def show(self) -> None:
        """Compute and show what the settings ask for.

        Raises:
            ConpetError: If the library refuses them. `refresh` catches all three and shows them.
            ValueError: If a value breaks the rule of its setting.
            TypeError: If a config has no such setting, or cannot compare its value.
        """

    def clear(self) -> None:
        """Show no result, because the last one was of other settings."""
        self.table.value = ""
        self.hide_picture()

    def refresh(self) -> None:
        """Show what the present settings ask for, or say in words why they do not work."""
        self.problem = ""
        self.say("")
        self.code = ""
        try:
            for widget in self.controls.values():
                check_number(widget)
            self.code = self.write_code()
            self.show()
        except (ConpetError, TypeError, ValueError) as error:
            self.problem = str(error)
            self.clear()
            self.say(self.problem, "These settings do not work.")
        self.text.value = f"<b>The code of these settings</b><pre>{as_html(self.code)}</pre>"

    def say(self, words: str, first: str = "") -> None:
        """Show a line of words.

        Args:
            words: The line, shown as it is written.
            first: Bold words in front of it.
        """
        bold = f"<b>{as_html(first)}</b> " if first else ""
        self.status.value = bold + as_html(words)

    def draw(self, ax: Axes) -> None:
        """Show a figure.

        Args:
            ax: Axes of it; the whole figure is shown.
        """
        self.picture.value = png(ax, 1)
        self.picture.layout.display = ""

    def hide_picture(self) -> None:
        """Show no figure until the next one is drawn."""
        self.picture.layout.display = "none"

    def tabulate(self, table: pd.DataFrame) -> None:
        """Show a table.

        Args:
            table: Its index is shown too, with the index's name at the head of the column.
        """
        table = table.rename_axis(index=None, columns=table.index.name)
        self.table.value = table_html(table, justify="left", col_space=70)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """The live panel; without a kernel, tables of its settings and results, and its code."""
        settings = table_html(pd.DataFrame([self.config]).astype(str), index=False)
        return {
            **self.view._repr_mimebundle_(),
            "text/html": settings + self.table.value + self.text.value,
            "text/plain": self.code,
        }


def table_html(table: pd.DataFrame, **form: Any) -> str:
    """Write a table as HTML; its texts are shown as they are written, and whole.

    Args:
        table: Numbers stay as pandas writes them.
        **form: Passed on to `DataFrame.to_html`.

    Returns:
        HTML.
    """
    shown = table.map(_shown_value).rename(index=_shown_value, columns=_shown_value)
    shown = shown.rename_axis(columns=_shown_value(shown.columns.name))
    with pd.option_context("display.max_colwidth", None):  # a cut would part a sign's HTML
        html: str = shown.to_html(border=0, escape=False, **form)
    return html


def _shown_value(value: Any) -> Any:
    """A cell or a heading: numbers and gaps as they are, all else as escaped text."""
    if value is None or isinstance(value, numbers.Number) or value is pd.NA:
        return value
    return as_cell(value)
