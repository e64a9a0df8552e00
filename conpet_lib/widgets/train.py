"""Panels that make something: a stream, a forecast, a run.

In: a corpus and a backbone. Out: `.stream`, `.forecast`, `.run`. A click only starts a worker; one job at a time.
"""

import html
import threading
from functools import lru_cache

import pandas as pd
from ipywidgets import Button, FloatProgress, HBox, Text

import conpet_lib as cp
from conpet_lib import plots
from conpet_lib.backbone import Backbone
from conpet_lib.corpora import Corpus
from conpet_lib.forecast import calibration
from conpet_lib.registry import CONFIGS
from conpet_lib.runs import Run
from conpet_lib.widgets.panel import Panel, call, control

reload = lru_cache(maxsize=4)(cp.load_backbone)      # another depth is another backbone


class StreamPanel(Panel):
    """Choose the tasks: `.stream`. Labels that are chosen by hand are cut into tasks as they are listed; else drawn.

    Args: tasks ... labels: what the controls show at first. counts: `train`, `valid`, `test` examples a label, where
        they differ from `make_stream`'s. more: controls of a panel that has these as well.
    """

    def __init__(self, corpus: Corpus, tasks: int = 4, labels_per_task: int = 4, grouping: str = "mixed",
                 split_seed: int = 0, order_seed: int = 0, labels: tuple[str, ...] = (),
                 counts: dict[str, int] | None = None, more: dict | None = None, below: tuple = ()):
        self.corpus, self.counts = corpus, counts or {}
        names = [label for label, _ in corpus.counts().most_common()]
        super().__init__({
            "tasks": control(tasks, "tasks", "how many tasks are learned, one after the other", low=1),
            "labels_per_task": control(labels_per_task, "labels per task", "how many labels a task brings", low=1),
            "grouping": control(grouping, "grouping", "labels of any kind, or each task from one group",
                                ["mixed", "similar"]),
            "split_seed": control(split_seed, "split seed", "another number: other labels and rows"),
            "order_seed": control(order_seed, "order seed", "another number: another order of the tasks"),
            "labels": control(labels, "labels", "none: drawn; several (Ctrl: click, or arrows and "
                              "space): cut into tasks, which the order seed orders", names), **(more or {})}, *below)

    def call(self) -> dict:
        """The arguments of `make_stream`."""
        names = ("tasks", "labels_per_task", "grouping", "split_seed", "order_seed")
        found, chosen, size = {name: self.config[name] for name in names}, list(self.config["labels"]), names[1]
        if chosen:
            found = {"labels": [chosen[start:start + found[size]] for start in range(0, len(chosen), found[size])],
                     "split_seed": found["split_seed"], "order_seed": found["order_seed"]}
        return {**found, **self.counts}

    @property
    def code(self) -> str:
        return "stream = " + call("cp.make_stream", "corpus", **self.call())

    def show(self) -> None:
        self.stream = cp.make_stream(self.corpus, **self.call())
        names = pd.Series([", ".join(task.labels) for task in self.stream], range(1, len(self.stream) + 1))
        self.tabulate(names.rename_axis("task").to_frame("labels"))


class BudgetPanel(Panel):
    """See what a module budget costs before anything is trained: `.forecast` of `.settings` on `.backbone`.

    One module is Static ConPET, as many as tasks is Dynamic ConPET. The minutes come from a few steps that are timed
    once for each depth and rank.
    """

    def __init__(self, stream: cp.tasks.Stream, backbone: Backbone, modules: int | None = None, active: int = 1,
                 rank: int = 4, tuned_layers: int = 1, batch_limit: int = 30):
        self.stream, self.name, depth, self.times = stream, backbone.name, backbone.exit_layer, {}
        super().__init__({name: control(value, name.replace("_", " "), tip, low=1, high=high, slider=True)
                          for name, value, high, tip in [
            ("modules", modules or len(stream), len(stream), "module budget: 1 is Static, one a task is Dynamic"),
            ("active", active, len(stream), "modules that answer an example"),
            ("rank", rank, 16, "of the LoRA matrices: the size of a module"),
            ("tuned_layers", min(tuned_layers, depth), depth, "layers that carry modules, down from the exit"),
            ("exit_layer", depth, depth, "the layer where the answer is read"),
            ("batch_limit", batch_limit, 60, "training batches an epoch")]})

    @property
    def settings(self) -> cp.DynamicConfig:
        """The config of the settings."""
        return cp.DynamicConfig(**{name: self.config[name] for name in ("modules", "active", "rank", "batch_limit")})

    @property
    def code(self) -> str:
        depth = {name: self.config[name] for name in ("tuned_layers", "exit_layer")}
        config = {name: self.config[name] for name in ("modules", "active", "rank", "batch_limit")}
        return (f"backbone = {call('cp.load_backbone', repr(self.name), **depth)}\n"
                f"config = {call('cp.DynamicConfig', **config)}\ncp.forecast(stream, backbone, config)")

    def show(self) -> None:
        place = self.config["tuned_layers"], self.config["exit_layer"]
        self.backbone = reload(self.name, *place)
        key = *place, self.config["rank"]
        if key not in self.times:
            self.times[key] = calibration(self.stream, self.backbone, self.settings)
        self.forecast = cp.forecast(self.stream, self.backbone, self.settings, self.times[key])
        self.tabulate(self.forecast.table())


class TrainPanel(StreamPanel):
    """Choose a stream, a learner and a rank, press Train, watch the curve grow; stop, ask, and go on.

    The Train button calls `start()`, which does not wait; `train()` does. `ask(text)` is the Ask button.

    Args: as `StreamPanel`; seed: of the training; settings: fields of the config without a control, where they differ
        from its defaults.
    Attributes: `run`, as far as it got (None before the first).
    """

    def __init__(self, corpus: Corpus, backbone: Backbone, learner: str = "static", rank: int = 4, seed: int = 0,
                 settings: dict | None = None, **stream: object):
        self.backbone, self.seed, self.settings, self.run = backbone, seed, settings or {}, None
        self.worker, self.stopping = threading.Thread(), threading.Event()
        self.train_button = Button(description="Train", icon="play", tooltip="train, or go on with a stopped run")
        self.stop_button = Button(description="Stop", icon="stop", tooltip="what is finished is kept", disabled=True)
        self.question = Text(placeholder="noun: definition", description="ask", tooltip="a text to label",
                             layout={"width": "30em"})
        self.ask_button = Button(description="Ask", icon="question", tooltip="what the run so far says to it")
        self.progress = FloatProgress(0, min=0, max=1, description="progress", layout={"width": "26em"})
        super().__init__(corpus, **stream, more={
            "learner": control(learner, "learner", "how a stage is trained", list(CONFIGS)),
            "rank": control(rank, "rank", "of the LoRA matrices: the size of a PET module", low=1, high=64)},
            below=(HBox([self.train_button, self.stop_button]), self.progress, HBox([self.question, self.ask_button])))
        self.train_button.on_click(lambda button: self.start())
        self.stop_button.on_click(lambda button: self.stopping.set())
        self.ask_button.on_click(lambda button: self.ask(self.question.value))

    @property
    def code(self) -> str:
        config = {"rank": self.config["rank"], **self.settings}
        name = "cp." + CONFIGS[self.config["learner"]].__name__
        return f"{super().code}\nrun = " + call("cp.train", "stream", "backbone", call(name, **config), seed=self.seed)

    def show(self) -> None:
        self.chosen = CONFIGS[self.config["learner"]](rank=self.config["rank"], **self.settings)
        super().show()
        self.status.value = "Ready."

    def refresh(self) -> None:
        super().refresh()
        self.train_button.disabled = bool(self.problem)

    def start(self) -> None:
        """Start a worker and return, unless one is at work or the settings are wrong."""
        if not self.worker.is_alive() and not self.problem:
            self.busy(True)
            self.stopping.clear()
            self.run, self.progress.value = None, 0
            self.worker = threading.Thread(target=self.work, args=(self.stream, self.chosen), daemon=True)
            self.worker.start()

    def train(self) -> Run | None:
        """Start, or join a worker that is at work, and wait for it; the run as far as it got."""
        self.start()
        if self.worker.is_alive():
            self.worker.join()
        return self.run

    def work(self, stream: cp.tasks.Stream, config: cp.VanillaConfig) -> None:
        """The worker: open the run (it may be finished), train it, show what came out or went wrong."""
        try:
            self.run = cp.train(stream, self.backbone, config, self.seed, on_step=lambda step: True, bar=False)
            if not self.run.finished:
                self.curve()
                self.run = cp.train(stream, self.backbone, config, self.seed, on_step=self.told, bar=False)
            self.curve()
            done = self.run.record["stages_done"]
            self.progress.value = done / len(stream)
            self.status.value = (f"Done: {self.run.average_accuracy.iloc[-1]:.1%} average accuracy at the end." if
                                 self.run.finished else f"Stopped in stage {done + 1} of {len(stream)}. What is "
                                 "finished is kept; Train goes on from there.")
        except Exception as error:      # nobody sees what a thread raises
            self.status.value = f"<b>It did not work.</b> {html.escape(f'{type(error).__name__}: {error}')}"
        finally:
            self.busy(False)

    def told(self, step: cp.Step) -> bool:
        """What `train` calls after each step: move the bar, draw a stage that has ended, say whether to stop."""
        if step.stage - 1 > self.run.record["stages_done"]:
            self.run = cp.load_run(self.run.folder, self.backbone)
            self.curve()
        share = 0 if step.loss is None else step.done / step.total      # only training steps move the bar
        self.progress.value = max(self.progress.value, (step.stage - 1 + share) / step.stages)
        self.status.value = f"Stage {step.stage} of {step.stages}: {step.doing}, {step.done} of {step.total}"
        return self.stopping.is_set()

    def ask(self, text: str) -> pd.DataFrame | None:
        """What the run says to a text, and what it has forgotten so far; only while nothing trains."""
        if self.worker.is_alive() or not (self.run and self.run.record["stages_done"]):
            self.status.value = "Train a stage first, and press Stop before you ask."
            return None
        try:
            answer = self.run.predict([text])
        except cp.ConpetError as error:
            self.status.value = html.escape(str(error))
            return None
        lost = sum(len(self.run.forgotten(task)) for task in range(1, self.run.record["stages_done"] + 1))
        self.tabulate(answer.T.rename(columns={0: text}))
        self.status.value = f"{lost} test rows were right once and are wrong now."
        return answer

    def curve(self) -> None:
        """Show the curve of the stages that are done."""
        if self.run.record["stages_done"]:
            self.draw(plots.average_curves([self.run]))

    def busy(self, now: bool) -> None:
        """Lock the controls and free the Stop button while the worker runs, and the other way round."""
        for widget in [self.train_button, self.ask_button, *self.controls.values()]:
            widget.disabled = now
        self.stop_button.disabled = not now
