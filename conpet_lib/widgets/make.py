"""Panels that make something: a stream, a forecast, a run.
In: a corpus or a stream, and a backbone. Out: `.stream`, `.forecast`, `.run`. A click only starts a worker."""

import html
import threading
from ast import literal_eval
from dataclasses import fields
import pandas as pd
from ipywidgets import Button, FloatProgress, HBox, Widget
import conpet_lib as cp
from conpet_lib import plots
from conpet_lib.backbone import Backbone
from conpet_lib.corpora import Corpus
from conpet_lib.registry import CONFIGS
from conpet_lib.widgets.panel import Panel, call, control

class StreamPanel(Panel):
    """Choose the tasks: `.stream`. Labels that are chosen by hand are cut into tasks as they are listed; else drawn.
    Args: tasks ... labels: what is shown at first. counts: `train`, `valid`, `test` of `make_stream`, if others."""
    def __init__(self, corpus: Corpus, tasks: int = 4, labels_per_task: int = 4, grouping: str = "mixed",
                 split_seed: int = 0, order_seed: int = 0, labels: tuple[str, ...] = (), counts: dict | None = None):
        self.corpus, self.counts, names = corpus, counts or {}, [name for name, _ in corpus.counts().most_common()]
        super().__init__({
            "tasks": control(tasks, "tasks", "how many tasks are learned, one after the other", low=1),
            "labels_per_task": control(labels_per_task, "labels per task", "how many labels a task brings", low=1),
            "grouping": control(grouping, "grouping", "any kind, or one group", ["mixed", "similar"]),
            "split_seed": control(split_seed, "split seed", "another number: other labels and rows"),
            "order_seed": control(order_seed, "order seed", "another number: another order of the tasks"),
            "labels": control(labels, "labels", "none: drawn; else cut as listed, in the seed's order (Ctrl)", names)})

    def show(self) -> None:
        self.stream, asked, size = None, {**self.config, **self.counts}, self.config["labels_per_task"]
        if chosen := list(asked.pop("labels")):
            asked["labels"] = [chosen[start:start + size] for start in range(0, len(chosen), size)]
            asked = {name: asked[name] for name in ("split_seed", "order_seed", *self.counts, "labels")}
        self.code = "stream = " + call("cp.make_stream", "corpus", **asked)
        self.stream = cp.make_stream(self.corpus, **asked)
        names = pd.Series([", ".join(task.labels) for task in self.stream], range(1, len(self.stream) + 1))
        self.tabulate(names.rename_axis("task").to_frame("labels"))

class BudgetPanel(Panel):
    """What a module budget costs, before anything is trained: `.forecast` of `.chosen`, the config, on `.backbone`.
    One module is Static ConPET, as many as tasks is Dynamic ConPET. Steps are timed once for each depth and rank."""
    def __init__(self, stream: cp.tasks.Stream, backbone: Backbone, modules: int | None = None, active: int = 1,
                 rank: int = 4, batch_limit: int = 30, memory: int = 0):
        self.stream, self.given, self.timed, depth = stream, backbone, {}, backbone.exit_layer
        super().__init__({name: control(value, name.replace("_", " "), tip, low=int(name != "memory"), high=high)
                          for name, value, high, tip in [
            ("modules", modules or len(stream), len(stream), "module budget: 1 is Static ConPET, all is Dynamic"),
            ("active", active, len(stream), "modules that answer an example"),
            ("rank", rank, 16, "of the LoRA matrices: the size of a module"),
            ("batch_limit", batch_limit, 60, "training batches an epoch"),
            ("memory", memory, 50, "rows kept of a label, with one module (EMR); 0: the full history"),
            ("tuned_layers", backbone.tuned_layers, depth, "layers that carry modules, down from the exit"),
            ("exit_layer", depth, depth, "the layer where the answer is read")]})

    def show(self) -> None:
        config, given, self.chosen = self.config, self.given, None
        depth = {name: config.pop(name) for name in ("tuned_layers", "exit_layer")}
        kind = cp.MemoryConfig if config["memory"] else cp.DynamicConfig
        several = config["memory"] and config.pop("modules") * config.pop("active") > 1
        config = {name: value for name, value in config.items() if value}
        self.code = (f"backbone = {call('cp.load_backbone', repr(given.name), **depth)}\n"
                     f"config = {call(f'cp.{kind.__name__}', **config)}\ncp.forecast(stream, backbone, config)")
        if several:
            raise ValueError("A fixed memory is for one module (EMR): set modules and active to 1, or memory to 0.")
        same, about = all(getattr(given, name) == depth[name] for name in depth), (given.name, *depth.values())
        self.backbone = given if same else cp.comparing.load_once(*about, given.device.type, str(given.dtype)[6:])
        self.chosen = kind(**config)
        self.forecast = cp.forecast(self.stream, self.backbone, self.chosen, self.timed)
        numbers = pd.Series(vars(self.forecast), name="forecast").rename(lambda name: name.replace("_", " "))
        self.tabulate(numbers.map(lambda number: f"{number:,.0f}" if number > 99 else f"{number:.3g}").to_frame())

class TrainPanel(Panel):
    """Choose a stream, a learner and a rank, press Train, watch the curve grow; stop, ask, and go on.
    Args: stream: as `StreamPanel`; seed: of the training; settings: other fields of the config; more: further controls.
    Attributes: `run`, as far as it got, None before the first; `stream`; `chosen`, the config."""
    turn = threading.Lock()             # of all panels: one job at a time

    def __init__(self, corpus: Corpus, backbone: Backbone, learner: str = "static", rank: int = 4, seed: int = 0,
                 settings: dict | None = None, more: dict[str, Widget] | None = None, **stream: object):
        self.backbone, self.seed, self.settings, self.run = backbone, seed, settings or {}, None
        self.streams, self.worker, self.stopping = StreamPanel(corpus, **stream), threading.Thread(), threading.Event()
        self.train_button = Button(description="Train", icon="play", tooltip="train, or go on with what was stopped")
        self.stop_button = Button(description="Stop", icon="stop", tooltip="what is finished is kept", disabled=True)
        self.progress = FloatProgress(max=1, description="progress", layout={"width": "26em"})
        self.question = control("", "ask", "a text to label, such as noun: definition")
        self.question.layout.width = "44em"
        self.ask_button = Button(description="Ask", icon="question", tooltip="what the run so far says to it")
        super().__init__({
            **self.streams.controls, "learner": control(learner, "learner", "how a stage is trained", list(CONFIGS)),
            "rank": control(rank, "rank", "of the LoRA matrices: the size of a PET module", low=1), **(more or {})},
            HBox([self.train_button, self.stop_button, self.progress]), HBox([self.question, self.ask_button]))
        self.train_button.on_click(lambda button: self.start())
        self.stop_button.on_click(lambda button: self.stopping.set())
        self.ask_button.on_click(lambda button: self.ask(self.question.value))

    def show(self) -> None:
        self.held = {**{name: self.config[name] for name in ("learner", "rank")}, **self.settings}
        self.kind, self.train_button.disabled = CONFIGS[self.config["learner"]], True
        made = call("cp.train", "stream", "backbone", call(f"cp.{self.kind.__name__}", **self.held), seed=self.seed)
        self.code, self.chosen = f"{self.streams.code}\nrun = {made}", self.kind(**self.held)
        if self.streams.problem:             # it has seen the change first
            raise cp.ConpetError(self.streams.problem)
        self.stream, self.table.value, self.status.value = self.streams.stream, self.streams.table.value, "Ready."
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
        except Exception as error:      # nobody sees what a thread raises
            self.status.value = f"<b>It did not work.</b> {html.escape(f'{type(error).__name__}: {error}')}"
        finally:
            self.busy(False)

    def job(self) -> str:
        """Open the run, which may be begun or finished, and train it; what came out, in words."""
        for on_step in (lambda step: True, self.told):
            self.keep(cp.train(self.stream, self.backbone, self.chosen, self.seed, on_step=on_step, bar=False))
        done = self.run.record["stages_done"]
        self.progress.value = done / len(self.stream)
        if self.run.finished:
            return f"Done: {self.run.average_accuracy.iloc[-1]:.1%} average accuracy at the end."
        return f"Stopped in stage {done + 1} of {len(self.stream)}. What is finished is kept: ask it, or press Train."

    def told(self, step: cp.Step) -> bool:
        """What `train` calls after each step: move the bar, draw a stage that has ended, say whether to stop."""
        if step.stage - 1 > self.run.record["stages_done"]:
            self.keep(cp.load_run(self.run.folder, self.backbone))
        share = 0 if step.loss is None else step.done / step.total      # only training steps move the bar
        self.progress.value = max(self.progress.value, (step.stage - 1 + share) / step.stages)
        self.status.value = f"Stage {step.stage} of {step.stages}: {step.doing}, {step.done} of {step.total}"
        return self.stopping.is_set()

    def keep(self, run: cp.runs.Run) -> None:
        self.run = run
        if run.record["stages_done"]:
            self.draw(plots.average_curves([run]))

    def ask(self, text: str) -> pd.DataFrame | None:
        """What the run says to a text, and how much it has forgotten so far; only while nothing trains."""
        done = self.run.record["stages_done"] if self.run and not self.worker.is_alive() else 0
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

class AblationPanel(TrainPanel):
    """Change one setting, hold the rest, press Train: a figure and paired intervals fill in as runs end.
    Args: factor: a field of the learner's config; values: of it, as code; seeds: how many; more: as `TrainPanel`.
    Attributes: `results`, as `runs_table`; `pairs`, as `compare`, of seeds that have all values, None before."""
    def __init__(self, corpus: Corpus, backbone: Backbone, factor: str = "rank", values: str = "1, 4, 16",
                 seeds: int = 2, **more: object):
        names = dict.fromkeys(field.name for kind in CONFIGS.values() for field in fields(kind)[1:])
        super().__init__(corpus, backbone, **more, more={
            "factor": control(factor, "factor", "the setting that is changed", list(names)),
            "values": control(values, "values", "two or more with commas between them; texts in quotes"),
            "seeds": control(seeds, "seeds", "each value is trained with each seed", low=1)})

    def show(self) -> None:
        super().show()
        self.train_button.disabled, factor = True, self.config["factor"]
        seeds, self.results, self.pairs = range(self.seed, self.seed + self.config["seeds"]), None, None
        try:
            values = literal_eval(f"[{self.config['values']}]")
        except (SyntaxError, ValueError):
            values = []
        if factor not in {field.name for field in fields(self.kind)}:
            raise ValueError(f"The learner {self.config['learner']!r} has no setting {factor!r}.")
        configs = [self.kind(**{**self.held, factor: value}) for value in values]
        if len({*configs}) < max(2, len(configs)):
            raise ValueError("Write two different values or more, such as 1, 4, 16; texts in quotes.")
        made = call(f"cp.{self.kind.__name__}", **{**self.held, factor: ...}).replace("Ellipsis", "value")
        self.code = (f"{self.streams.code}\nconfigs = [{made} for value in {values}]\n"
                     f"table = cp.grid([stream], backbone, configs, {seeds})\n"
                     f"pairs = cp.compare(table, by={factor!r})\nplots.ablation(table, {factor!r}, pairs)")
        self.jobs = [(config, seed) for seed in seeds for config in configs]
        self.train_button.disabled = False

    def job(self) -> str:
        """Train what is missing, seed by seed, so that there are pairs early; show what is done when a run ends."""
        runs, factor, stream, each = [], self.config["factor"], self.stream, len(self.jobs) // self.config["seeds"]
        self.pairs = None
        for number, (config, seed) in enumerate(self.jobs, 1):
            self.status.value = f"Run {number} of {len(self.jobs)}: {factor} {getattr(config, factor)}, seed {seed}"
            self.run = cp.train(stream, self.backbone, config, seed, None, lambda step: self.stopping.is_set(), False)
            if not self.run.finished:
                return f"Stopped in run {number} of {len(self.jobs)}. What is finished is kept; Train goes on."
            runs.append(self.run)
            self.results, self.progress.value = cp.runs_table(runs), number / len(self.jobs)
            if number % each == 0:                      # a seed has all values
                self.pairs = cp.compare(self.results, by=factor)
                self.tabulate(self.pairs.drop(columns=["bootstrap low", "bootstrap high", "agree", "seeds"]).round(3))
            self.draw(plots.ablation(self.results, factor, self.pairs))
        return f"Done: {len(runs)} runs."
