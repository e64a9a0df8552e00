"""Panel: controls with plain values, words for what is wrong, and the code of the present settings.

In: widgets by name. Out: `.config`, `.code`, `.problem`, `.view`. Results come as trait updates, never by print or
pyplot, so that a panel works in every notebook front end. Knows nothing of what a panel is for. Start at `Panel`.
"""

import html
import threading
from collections.abc import Sequence

import pandas as pd
from ipywidgets import (
    HTML,
    BoundedIntText,
    Button,
    Dropdown,
    FloatProgress,
    HBox,
    Image,
    IntSlider,
    SelectMultiple,
    Text,
    VBox,
    Widget,
)

from conpet_lib import plots
from conpet_lib.errors import ConpetError
from conpet_lib.learners import Step
from conpet_lib.runs import Run


def control(value: object, name: str, tip: str, options: Sequence = (), low: int = 0, high: int = 0) -> Widget:
    """The widget of a value: of a tuple or one of `options`, a text, a number from `low` (a slider if to `high`)."""
    looks = {"value": value, "description": name, "tooltip": tip, "style": {"description_width": "9em"},
             "layout": {"width": "26em"}}
    if isinstance(value, tuple):
        return SelectMultiple(options=options, rows=6, **looks)
    if options:
        return Dropdown(options=options, **looks)
    if isinstance(value, str):
        return Text(continuous_update=False, **looks)
    if not high:
        return BoundedIntText(min=low, max=10_000, **looks)
    return IntSlider(min=low, max=high, continuous_update=False, **looks)


def call(name: str, *given: str, **settings: object) -> str:
    """The text of a call, such as `cp.make_stream(corpus, tasks=4)`."""
    return f"{name}({', '.join([*given, *(f'{key}={value!r}' for key, value in settings.items())])})"


class Panel:
    """Controls beside what they show.

    Attributes: `controls`, widgets by setting; `config`, their plain values; `code`, the calls that do the same without
    the panel, on what it was made with under the same names (`template` with the settings in it); `problem`, what is
    wrong with the settings, or ""; `table` and `picture`, what is shown; `view`, the box."""

    template = ""

    def __init__(self, controls: dict[str, Widget], *below: Widget):
        self.controls, self.problem = controls, ""
        self.status, self.table, self.text = HTML(), HTML(), HTML()
        self.picture = Image(format="png", layout={"max_width": "60em", "display": "none"})
        self.view = VBox([HBox([VBox([*controls.values()]), self.table]), *below, self.status, self.picture, self.text])
        for widget in controls.values():
            widget.observe(lambda change: self.refresh(), "value")
        self.refresh()

    @property
    def config(self) -> dict:
        """The present settings, plain values."""
        return {name: widget.value for name, widget in self.controls.items()}

    def show(self) -> None:
        """Compute and show what the settings ask for; a ConpetError, TypeError or ValueError is said in words."""

    def refresh(self) -> None:
        """Show the present settings, or what is wrong with them."""
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
        settings = pd.DataFrame([{name: str(value) for name, value in self.config.items()}])
        still = settings.to_html(index=False, border=0) + self.table.value + self.text.value
        return {**self.view._repr_mimebundle_(), "text/html": still, "text/plain": self.code}


class JobPanel(Panel):
    """A panel with a job. A click starts a worker and returns; one job at a time, and a stopped one goes on.

    Attributes: `run`, the one that was made last, as far as it got; None before the first."""

    turn = threading.Lock()             # of all panels: one job at a time

    def __init__(self, controls: dict[str, Widget], *below: Widget):
        self.worker, self.stopping, self.run = threading.Thread(), threading.Event(), None
        self.train_button = Button(description="Train", icon="play", tooltip="train, or go on with what was stopped")
        self.stop_button = Button(description="Stop", icon="stop", tooltip="what is finished is kept", disabled=True)
        self.progress = FloatProgress(max=1, description="progress", layout={"width": "26em"})
        super().__init__(controls, HBox([self.train_button, self.stop_button, self.progress]), *below)
        self.train_button.on_click(lambda button: self.start())
        self.stop_button.on_click(lambda button: self.stopping.set())

    def refresh(self) -> None:
        super().refresh()
        self.train_button.disabled = bool(self.problem)

    def start(self) -> None:
        """Start a worker and return, unless one is at work or the settings are wrong."""
        if not self.worker.is_alive() and not self.problem:
            self.busy(True)
            self.stopping.clear()
            self.progress.value, self.worker = 0, threading.Thread(target=self.work, daemon=True)
            self.worker.start()

    def train(self) -> Run | None:
        """Start, or join a worker that is at work, and wait; the run that it made last."""
        self.start()
        if self.worker.is_alive():
            self.worker.join()
        return self.run

    def job(self) -> str:
        """What the worker does; returns how it ended, in words."""

    def told(self, step: Step) -> bool:
        """What `train` calls after each step: moves the bar, says whether to stop."""
        share = 0 if step.loss is None else step.done / step.total      # only training steps move the bar
        self.progress.value = max(self.progress.value, (step.stage - 1 + share) / step.stages)
        self.status.value = f"Stage {step.stage} of {step.stages}: {step.doing}, {step.done} of {step.total}"
        return self.stopping.is_set()

    def work(self) -> None:
        """Do the job, and say what came out or went wrong."""
        self.status.value = "Waiting for the job of another panel." * self.turn.locked()
        try:
            with self.turn:
                self.status.value = self.job()
        except Exception as error:      # nobody sees what a thread raises
            self.status.value = f"<b>It did not work.</b> {html.escape(f'{type(error).__name__}: {error}')}"
        finally:
            self.busy(False)

    def busy(self, now: bool) -> None:
        """Lock the controls and free the Stop button while the worker runs, and the other way round."""
        for widget in (self.train_button, *self.controls.values()):
            widget.disabled = now
        self.stop_button.disabled = not now
