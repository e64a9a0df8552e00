"""Panel: controls with plain values, words for what is wrong, and the code of the present settings.
In: widgets by name. Out: `.config`, `.code`, `.problem`, `.view`. Results come as trait updates, never by print or
pyplot, so that a panel works in every notebook front end. Knows nothing of what a panel is for. Start at `Panel`.
"""

import html
from collections.abc import Sequence

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

from conpet_lib import plots
from conpet_lib.core.errors import ConpetError


def control(
    value: object, name: str, tip: str, options: Sequence = (), low: int = 0, high: int = 0
) -> Widget:
    """The widget of a value: of a tuple or one of `options`, a text, a number from `low` (a slider if to `high`)."""
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
    if isinstance(value, str):
        return Text(continuous_update=False, **looks)
    return (IntSlider if high else BoundedIntText)(
        min=low, max=high or 10_000, continuous_update=False, **looks
    )


def call(name: str, *given: str, **settings: object) -> str:
    """The text of a call, such as `cp.make_stream(corpus, tasks=4)`."""
    return (
        f"{name}({', '.join([*given, *(f'{key}={value!r}' for key, value in settings.items())])})"
    )


class Panel:
    """Controls beside what they show: `controls`, widgets by setting; `config`, their plain values; `code`, the calls
    that do the same without the panel, on what it was made with under the same names (`template` with the settings);
    `problem`, what is wrong with the settings, or ""; `table` and `picture`, what is shown; `view`, the box.
    """

    template = ""

    def __init__(self, controls: dict[str, Widget], *below: Widget):
        self.controls, self.problem = controls, ""
        self.status, self.table, self.text = HTML(), HTML(), HTML()
        self.picture = Image(format="png", layout={"max_width": "60em", "display": "none"})
        shown = HBox(
            [VBox([*controls.values()], layout={"flex": "none"}), self.table]
        )  # wide tables squeeze none
        self.view = VBox([shown, *below, self.status, self.picture, self.text])
        for widget in controls.values():
            widget.observe(lambda change: self.refresh(), "value")
        self.refresh()

    @property
    def config(self) -> dict:
        return {name: widget.value for name, widget in self.controls.items()}

    def show(self) -> None:
        """Compute and show what the settings ask for; a ConpetError, TypeError or ValueError is said in words."""

    def refresh(self) -> None:
        self.problem = self.status.value = ""
        self.code = self.template.format(**self.config)
        try:
            self.show()
        except (ConpetError, TypeError, ValueError) as error:
            self.problem, self.table.value, self.picture.layout.display = str(error), "", "none"
            self.status.value = f"<b>These settings do not work.</b> {html.escape(self.problem)}"
        self.text.value = f"<b>The code of these settings</b><pre>{html.escape(self.code)}</pre>"

    def draw(self, ax: plots.Axes) -> None:
        self.picture.value, self.picture.layout.display = plots.png(ax, 1), ""

    def tabulate(self, table: pd.DataFrame) -> None:
        table = table.rename_axis(index=None, columns=table.index.name)
        self.table.value = table.to_html(border=0, justify="left", col_space=70)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        """The live panel; where there is no kernel, tables of its settings and results, and its code."""
        tables = (
            pd.DataFrame([self.config]).astype(str).to_html(index=False, border=0)
            + self.table.value
        )
        return {
            **self.view._repr_mimebundle_(),
            "text/html": tables + self.text.value,
            "text/plain": self.code,
        }
