"""Panels that make something: a stream, a forecast, a run.
In: a corpus or a stream, and a backbone. Out: `.stream`, `.forecast`, `.run`. A click only starts a worker."""

import html
import threading

import pandas as pd
from ipywidgets import Button, FloatProgress, HBox, Widget

import conpet_lib as cp
from conpet_lib import plots
from conpet_lib.corpora.example import Corpus
from conpet_lib.learners.methods import CONFIGS
from conpet_lib.models.backbone import Backbone
from conpet_lib.widgets.panel import Panel, call, control
from conpet_lib.widgets.streams import StreamPanel


class TrainPanel(Panel):
    """Choose a stream, a learner and a rank, press Train, watch the curve grow; stop, ask, and go on.
    Args: stream: as `StreamPanel`; seed: of the training; settings: other fields of the config; more: further controls.
    Attributes: `run`, as far as it got, None before the first; `stream`; `chosen`, the config."""

    turn = threading.Lock()  # of all panels: one job at a time

    def __init__(
        self,
        corpus: Corpus,
        backbone: Backbone,
        learner: str = "static",
        rank: int = 4,
        seed: int = 0,
        settings: dict | None = None,
        more: dict[str, Widget] | None = None,
        **stream: object,
    ):
        self.backbone, self.seed, self.settings, self.run = backbone, seed, settings or {}, None
        self.streams, self.worker, self.stopping = (
            StreamPanel(corpus, **stream),
            threading.Thread(),
            threading.Event(),
        )
        self.train_button = Button(
            description="Train", icon="play", tooltip="train, or go on with what was stopped"
        )
        self.stop_button = Button(
            description="Stop", icon="stop", tooltip="what is finished is kept", disabled=True
        )
        self.progress = FloatProgress(max=1, description="progress", layout={"width": "26em"})
        self.question = control("", "ask", "a text to label, such as noun: definition")
        self.question.layout.width = "44em"
        self.ask_button = Button(
            description="Ask", icon="question", tooltip="what the run so far says to it"
        )
        super().__init__(
            {
                **self.streams.controls,
                "learner": control(learner, "learner", "how a stage is trained", list(CONFIGS)),
                "rank": control(
                    rank, "rank", "of the LoRA matrices: the size of a PET module", low=1
                ),
                **(more or {}),
            },
            HBox([self.train_button, self.stop_button, self.progress]),
            HBox([self.question, self.ask_button]),
        )
        self.train_button.on_click(lambda button: self.start())
        self.stop_button.on_click(lambda button: self.stopping.set())
        self.ask_button.on_click(lambda button: self.ask(self.question.value))

    def show(self) -> None:
        self.held = {**{name: self.config[name] for name in ("learner", "rank")}, **self.settings}
        self.kind, self.train_button.disabled = CONFIGS[self.config["learner"]], True
        made = call(
            "cp.train",
            "stream",
            "backbone",
            call(f"cp.{self.kind.__name__}", **self.held),
            seed=self.seed,
        )
        self.code, self.chosen = f"{self.streams.code}\nrun = {made}", self.kind(**self.held)
        if self.streams.problem:  # it has seen the change first
            raise cp.ConpetError(self.streams.problem)
        self.stream, self.table.value, self.status.value = (
            self.streams.stream,
            self.streams.table.value,
            "Ready.",
        )
        self.train_button.disabled = False

    def start(self) -> None:
        """Start a worker and return, unless one is at work or the settings are wrong."""
        if not self.worker.is_alive() and not self.problem:
            self.busy(True)
            self.stopping.clear()
            self.run, self.progress.value = None, 0
            self.worker = threading.Thread(target=self.work, daemon=True)
            self.worker.start()

    def train(self) -> cp.runs.Run | None:
        """Start, or join a worker that is at work, and wait; the run as far as it got."""
        self.start()
        if self.worker.is_alive():
            self.worker.join()
        return None if self.problem else self.run

    def work(self) -> None:
        """The worker: do the job in its turn, and say what came out or went wrong."""
        self.status.value = "Waiting for the job of another panel." * self.turn.locked()
        try:
            with self.turn:
                self.status.value = self.job()
        except Exception as error:  # nobody sees what a thread raises
            self.status.value = (
                f"<b>It did not work.</b> {html.escape(f'{type(error).__name__}: {error}')}"
            )
        finally:
            self.busy(False)

    def job(self) -> str:
        """Open the run, which may be begun or finished, and train it; what came out, in words."""
        for on_step in (lambda step: True, self.told):
            self.keep(
                cp.train(
                    self.stream, self.backbone, self.chosen, self.seed, on_step=on_step, bar=False
                )
            )
        done = self.run.record.stages_done
        self.progress.value = done / len(self.stream)
        if self.run.finished:
            return f"Done: {self.run.average_accuracy.iloc[-1]:.1%} average accuracy at the end."
        return f"Stopped in stage {done + 1} of {len(self.stream)}. What is finished is kept: ask it, or press Train."

    def told(self, step: cp.Step) -> bool:
        """What `train` calls after each step: move the bar, draw a stage that has ended, say whether to stop."""
        if step.stage - 1 > self.run.record.stages_done:
            self.keep(cp.load_run(self.run.folder, self.backbone))
        share = (
            0 if step.loss is None else step.done / step.total
        )  # only training steps move the bar
        self.progress.value = max(self.progress.value, (step.stage - 1 + share) / step.stages)
        self.status.value = (
            f"Stage {step.stage} of {step.stages}: {step.doing}, {step.done} of {step.total}"
        )
        return self.stopping.is_set()

    def keep(self, run: cp.runs.Run) -> None:
        self.run = run
        if run.record.stages_done:
            self.draw(plots.average_curves([run]))

    def ask(self, text: str) -> pd.DataFrame | None:
        """What the run says to a text, and how much it has forgotten so far; only while nothing trains."""
        done = self.run.record.stages_done if self.run and not self.worker.is_alive() else 0
        try:
            if not done:
                raise cp.ConpetError("Train a stage first, and press Stop before you ask.")
            answer = self.run.predict([text])
        except cp.ConpetError as error:
            self.status.value = html.escape(str(error))
            return None
        self.tabulate(answer.T.rename(columns={0: text}))
        lost = sum(len(self.run.forgotten(task)) for task in range(1, done + 1))
        self.status.value = f"{lost} test rows were right once and are wrong now."
        return answer

    def busy(self, now: bool) -> None:
        for widget in (self.train_button, *self.controls.values()):
            widget.disabled = now
        self.stop_button.disabled = not now
