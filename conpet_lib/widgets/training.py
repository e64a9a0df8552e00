"""Train panel: choose a stream, a learner and a rank, and train in a worker.

In: a corpus and a backbone. Out: a `Run`, as far as it got. A click only starts a worker thread and
returns; the worker reports by updates of widgets.

May import `runs` and the rooms before it, and `plots`. Start at `TrainPanel`; its `job` is what the
worker does.
"""

import threading
from collections.abc import Callable
from typing import Any

import pandas as pd
from ipywidgets import Button, FloatProgress, HBox, Widget

from conpet_lib.core.errors import ConpetError
from conpet_lib.corpora.example import Corpus
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.learners.fitting import Step
from conpet_lib.models.backbone import Backbone
from conpet_lib.plots import average_curves
from conpet_lib.runs.run import Run, load_run
from conpet_lib.runs.training import train
from conpet_lib.streams.stream import Stream
from conpet_lib.widgets.caller import name_of, new_name
from conpet_lib.widgets.controls import menu, number, text_box
from conpet_lib.widgets.panel import Panel
from conpet_lib.widgets.settings import (
    call,
    config_code,
    learner_names,
    make_config,
)
from conpet_lib.widgets.streams import StreamPanel


class TrainPanel(Panel):
    """Choose a stream, a learner and a rank, press Train, watch the curve grow; stop, ask, go on.

    Args:
        corpus: Where the stream's labels and examples come from.
        backbone: What carries the modules.
        learner: Name of the learner at first.
        rank: Rank of the LoRA matrices at first.
        seed: Seed of the training.
        settings: Other fields of the config; a rank among them is the one at first.
        more: Further controls by setting, which a subclass adds.
        stream: What `StreamPanel` takes besides the corpus.

    Attributes:
        turn: A lock that all panels share, so that one job runs at a time.
        run: The run of these settings as far as it got; None before it is trained.
        stream: The stream of the last settings that worked.
        chosen: The config of the last settings that worked.
        streams: The `StreamPanel` whose controls come first.
        worker: The thread of the last job.
        stopping: Set when Stop is pressed; the job looks at it after each step.
        changed: Whether a setting was changed while the last job was at work.
    """

    turn = threading.Lock()
    stream: Stream
    chosen: LearnerConfig

    def __init__(
        self,
        corpus: Corpus,
        backbone: Backbone,
        learner: str = "static",
        rank: int = 4,
        seed: int = 0,
        settings: dict[str, Any] | None = None,
        more: dict[str, Widget] | None = None,
        **stream: Any,
    ):
        self.backbone = backbone
        self.seed = seed
        self.settings = {} if settings is None else dict(settings)
        rank = self.settings.pop("rank", rank)
        self.run: Run | None = None
        self.streams = StreamPanel(corpus, **stream)
        self.worker = threading.Thread()  # never started, so it is not alive
        self.stopping = threading.Event()
        self.changed = False
        self._make_buttons()
        controls = dict(self.streams.controls)
        controls["learner"] = menu(learner, "learner", "how a stage is trained", learner_names())
        controls["rank"] = number(
            rank,
            "rank",
            "of the LoRA matrices: the size of a PET module",
            low=1,
            high=backbone.hidden_size,
        )
        if more is not None:
            controls.update(more)
        super().__init__(
            controls,
            HBox([self.train_button, self.stop_button, self.progress]),
            HBox([self.question, self.ask_button]),
        )
        self.train_button.on_click(lambda button: self.start())
        self.stop_button.on_click(lambda button: self.stopping.set())
        self.ask_button.on_click(lambda button: self.ask(self.question.value))
        # Enter changes the value of a box whose text is taken when it is final.
        self.question.observe(lambda change: self.ask(change.new) if change.new else None, "value")

    def write_code(self) -> str:
        """Write the calls that train the same run."""
        stream = new_name("stream", self.page)
        backbone = name_of(self.backbone, "backbone", self.page)
        config = config_code(self.config["learner"], self._config_settings())
        training = call("cp.train", stream, backbone, config, seed=self.seed)
        run = new_name("run", self.page)
        return f"{stream} = {self.streams.expression()}\n{run} = {training}"

    def show(self) -> None:
        """Get ready to train: make the config and the code, and show the tasks."""
        self.clear()  # of what was trained with other settings
        self.chosen = make_config(self.config["learner"], self._config_settings())
        # The stream panel observes these controls too, and was told first.
        stream = self.streams.stream
        if stream is None:
            raise ConpetError(self.streams.problem)
        self.stream = stream
        self.table.value = self.streams.table.value
        self.say("Ready.")
        self.train_button.disabled = False

    def clear(self) -> None:
        """Forget the run, which was of other settings, with its curve and its answers."""
        super().clear()
        self.train_button.disabled = True
        if self.worker.is_alive():
            self.changed = True
        else:
            self.run = None
            self.progress.value = 0

    def start(self) -> None:
        """Start a worker and return, unless one is at work or the settings are wrong."""
        if self.worker.is_alive() or self.problem:
            return
        self._lock_controls(True)
        self.stopping.clear()
        self.changed = False
        self.run = None
        self.progress.value = 0
        self.worker = threading.Thread(target=self._work, daemon=True)
        self.worker.start()

    def train(self) -> Run | None:
        """Start a worker, or join the one that is at work, and wait until it ends.

        Returns:
            The run as far as it got; None if the settings are wrong.
        """
        self.start()
        if self.worker.is_alive():
            self.worker.join()
        if self.problem:
            return None
        return self.run

    def job(self) -> str:
        """Open the run, which may be begun or finished, and train it.

        Returns:
            What came out, in words.
        """
        # Kept here, because a change of the settings while this runs is for the next job.
        stream = self.stream
        chosen = self.chosen
        stages = len(stream)
        # Stopped at its first step, `train` only opens the run: what is trained already is drawn at
        # once, and `told` knows how many stages are done.
        self._train_until(lambda step: True, stream, chosen)
        run = self._train_until(self.told, stream, chosen)
        done = run.record.stages_done
        self.progress.value = done / stages
        if run.finished:
            average = run.average_accuracy.iloc[-1]
            return f"Done: {average:.1%} average accuracy at the end{run.tested_in_words}."
        return (
            f"Stopped in stage {done + 1} of {stages}. What is finished is kept: ask it, "
            "or press Train."
        )

    def told(self, step: Step) -> bool:
        """Follow the training: move the bar, draw a stage that has ended, say whether to stop.

        Args:
            step: Where the training is, as `train` tells it after each step.

        Returns:
            True if Stop was pressed.
        """
        assert self.run is not None  # `job` has opened it
        if step.stage - 1 > self.run.record.stages_done:
            self._keep_run(load_run(self.run.folder, self.backbone))
        share_of_stage = 0.0
        if step.loss is not None:  # only training steps move the bar
            share_of_stage = step.done / step.total
        share = (step.stage - 1 + share_of_stage) / step.stages
        # Where a stage trains a selector and a module each counts from 0; the bar never goes back.
        self.progress.value = max(self.progress.value, share)
        self.say(f"Stage {step.stage} of {step.stages}: {step.doing}, {step.done} of {step.total}")
        return self.stopping.is_set()

    def ask(self, text: str) -> pd.DataFrame | None:
        """Ask the run for the label of a text, and count what it has forgotten so far.

        Args:
            text: A text as `Run.predict` takes it.

        Returns:
            The answer; None, and a line that says why, while a worker trains, before the first
            stage is done, and for a text that cannot be read.
        """
        try:
            run = self._run_to_ask()
            answer = run.predict([text])
        except ConpetError as error:
            self.say(str(error))
            return None
        self.tabulate(answer.T.rename(columns={0: text}))
        tasks = range(1, run.record.stages_done + 1)
        lost = sum(len(run.forgotten(task)) for task in tasks)
        self.say(f"{lost} test rows were right once and are wrong now.")
        return answer

    def _make_buttons(self) -> None:
        """Make the widgets below the controls."""
        self.train_button = Button(
            description="Train", icon="play", tooltip="train, or go on with what was stopped"
        )
        self.stop_button = Button(
            description="Stop", icon="stop", tooltip="what is finished is kept", disabled=True
        )
        self.progress = FloatProgress(max=1, description="progress", layout={"width": "26em"})
        self.question = text_box("", "ask", "a text to label, such as noun: definition")
        self.question.layout.width = "44em"
        self.ask_button = Button(
            description="Ask", icon="question", tooltip="what the run so far says to it"
        )

    def _config_settings(self) -> dict[str, Any]:
        """The settings of the config: the rank of the control, and what the panel was given."""
        return {"rank": self.config["rank"], **self.settings}

    def _work(self) -> None:
        """The worker: do the job when its turn comes, and say what came out or went wrong."""
        if self.turn.locked():
            self.say("Waiting for the job of another panel.")
        else:
            self.say("")
        try:
            with self.turn:
                self.changed = False  # while this waited for its turn
                if self.problem:
                    raise ConpetError(self.problem)
                said = self.job()
                if self.changed:
                    said += " All this is of the settings before they were changed."
                self.say(said)
        except Exception as error:  # nobody sees what a thread raises
            self.say(f"{type(error).__name__}: {error}", "It did not work.")
        finally:
            self._lock_controls(False)

    def _train_until(
        self, on_step: Callable[[Step], object], stream: Stream, chosen: LearnerConfig
    ) -> Run:
        """Train a run on until a call of `on_step` is true, or to its end, and keep it."""
        run = train(stream, self.backbone, chosen, self.seed, on_step=on_step, bar=False)
        self._keep_run(run)
        return run

    def _keep_run(self, run: Run) -> None:
        """Take a run for the present one, and draw its curve once a stage is done."""
        self.run = run
        if run.record.stages_done:
            self.draw(average_curves([run]))

    def _run_to_ask(self) -> Run:
        """The run so far; a ConpetError while it is trained, and before a stage is done."""
        run = self.run
        if run is None or self.worker.is_alive() or run.record.stages_done == 0:
            raise ConpetError("Train a stage first, and press Stop before you ask.")
        if self.changed:
            raise ConpetError("What was trained is of other settings. Press Train, then ask.")
        return run

    def _lock_controls(self, locked: bool) -> None:
        """While a worker is at work only Stop can be pressed; otherwise all but Stop."""
        for widget in (self.train_button, *self.controls.values()):
            widget.disabled = locked
        self.stop_button.disabled = not locked
