"""Panels that make something: a stream, a run within a budget, a run, an ablation.

In: a corpus or a stream, and a backbone. Out: `.stream`, `.forecast`, `.run`, `.runs`.
"""

import html
from ast import literal_eval
from dataclasses import fields
from functools import lru_cache

import pandas as pd
from ipywidgets import Button, HBox, Text

import conpet_lib as cp
from conpet_lib import plots
from conpet_lib.backbone import Backbone
from conpet_lib.corpora import Corpus
from conpet_lib.registry import CONFIGS
from conpet_lib.runs import Run
from conpet_lib.tasks import Stream
from conpet_lib.widgets.panel import JobPanel, Panel, call, control

load_once = lru_cache(maxsize=4)(cp.load_backbone)      # another depth is another backbone


class StreamPanel(Panel):
    """Choose the tasks: `.stream`. Labels that are chosen by hand are cut into tasks as they are listed; else drawn.

    Args: tasks ... labels: what the controls show at first. counts: `train`, `valid`, `test` examples a label, where
        they differ from `make_stream`'s."""

    def __init__(self, corpus: Corpus, tasks: int = 4, labels_per_task: int = 4, grouping: str = "mixed",
                 split_seed: int = 0, order_seed: int = 0, labels: tuple[str, ...] = (),
                 counts: dict[str, int] | None = None):
        self.corpus, self.counts, names = corpus, counts or {}, [name for name, _ in corpus.counts().most_common()]
        super().__init__({
            "tasks": control(tasks, "tasks", "how many tasks are learned, one after the other", low=1),
            "labels_per_task": control(labels_per_task, "labels per task", "how many labels a task brings", low=1),
            "grouping": control(grouping, "grouping", "any kind, or one group", ["mixed", "similar"]),
            "split_seed": control(split_seed, "split seed", "another number: other labels and rows"),
            "order_seed": control(order_seed, "order seed", "another number: another order of the tasks"),
            "labels": control(labels, "labels", "none: drawn; several (Ctrl: click, or arrows and space): cut into "
                              "tasks, which the order seed orders", names)})

    def show(self) -> None:
        asked, size = {**self.config, **self.counts}, self.config["labels_per_task"]
        if chosen := list(asked.pop("labels")):
            asked["labels"] = [chosen[start:start + size] for start in range(0, len(chosen), size)]
            for name in ("tasks", "labels_per_task", "grouping"):
                del asked[name]
        self.code = "stream = " + call("cp.make_stream", "corpus", **asked)
        self.stream = cp.make_stream(self.corpus, **asked)
        names = pd.Series([", ".join(task.labels) for task in self.stream], range(1, len(self.stream) + 1))
        self.tabulate(names.rename_axis("task").to_frame("labels"))


class BudgetPanel(JobPanel):
    """What a module budget costs, before anything is trained; then predicted beside measured: `.forecast`, `.runs`.

    One module is Static ConPET, as many as tasks is Dynamic ConPET. Steps are timed once for each depth and rank."""

    def __init__(self, stream: Stream, backbone: Backbone, modules: int | None = None, active: int = 1, rank: int = 4,
                 batch_limit: int = 30, seed: int = 0, settings: dict | None = None):
        self.stream, self.name, self.seed, self.settings = stream, backbone.name, seed, settings or {}
        self.timed, self.runs, tasks, depth = {}, [], len(stream), backbone.exit_layer
        super().__init__({name: control(value, name.replace("_", " "), tip, low=1, high=high)
                          for name, value, high, tip in [
            ("modules", modules or tasks, tasks, "module budget: 1 is Static ConPET, one a task is Dynamic ConPET"),
            ("active", active, tasks, "modules that answer an example"),
            ("rank", rank, 16, "of the LoRA matrices: the size of a module"),
            ("batch_limit", batch_limit, 60, "training batches an epoch"),
            ("tuned_layers", backbone.tuned_layers, depth, "layers that carry modules, down from the exit"),
            ("exit_layer", depth, depth, "the layer where the answer is read")]})

    def show(self) -> None:
        config = {**self.config, **self.settings}
        depth = {name: config.pop(name) for name in ("tuned_layers", "exit_layer")}
        self.code = (f"backbone = {call('cp.load_backbone', repr(self.name), **depth)}\n"
                     f"config = {call('cp.DynamicConfig', **config)}\ncp.forecast(stream, backbone, config)\n"
                     f"run = cp.train(stream, backbone, config, seed={self.seed})")
        self.backbone, self.chosen = load_once(self.name, **depth), cp.DynamicConfig(**config)
        self.forecast = cp.forecast(self.stream, self.backbone, self.chosen, self.timed)
        numbers = pd.Series(vars(self.forecast), name="forecast").rename(lambda name: name.replace("_", " "))
        self.tabulate(numbers.map(lambda number: f"{number:,.0f}" if number > 99 else f"{number:.3g}").to_frame())

    def job(self) -> str:
        self.run = cp.train(self.stream, self.backbone, self.chosen, self.seed, on_step=self.told, bar=False)
        if not self.run.finished:
            return "Stopped. What is finished is kept; Train goes on from there."
        self.runs.append(self.run)
        self.tabulate(self.forecast.beside(self.run).round(2))
        self.draw(plots.frontier(self.runs))
        return "Done. The figure shows the runs of this panel."


class TrainPanel(JobPanel):
    """Choose a stream, a learner and a rank, press Train, watch the curve grow; stop, ask, and go on.

    Args: stream: as `StreamPanel`; seed: of the training; settings: fields of the config without a control, where they
        differ from its defaults.
    Attributes: `run`, `stream`, and `chosen`, the config."""

    def __init__(self, corpus: Corpus, backbone: Backbone, learner: str = "static", rank: int = 4, seed: int = 0,
                 settings: dict | None = None, **stream: object):
        self.backbone, self.seed, self.settings = backbone, seed, settings or {}
        self.streams = StreamPanel(corpus, **stream)
        self.question = Text(placeholder="noun: definition", description="ask", tooltip="a text to label",
                             layout={"width": "44em"}, style={"description_width": "9em"})
        self.ask_button = Button(description="Ask", icon="question", tooltip="what the run so far says to it")
        self.ask_button.on_click(lambda button: self.ask(self.question.value))
        super().__init__({
            **self.streams.controls,
            "learner": control(learner, "learner", "how a stage is trained", list(CONFIGS)),
            "rank": control(rank, "rank", "of the LoRA matrices: the size of a PET module", low=1)},
            HBox([self.question, self.ask_button]))

    def show(self) -> None:
        settings = {**{name: self.config[name] for name in ("learner", "rank")}, **self.settings}
        kind = CONFIGS[self.config["learner"]]
        made = call("cp.train", "stream", "backbone", call(f"cp.{kind.__name__}", **settings), seed=self.seed)
        self.code, self.chosen = f"{self.streams.code}\nrun = {made}", kind(**settings)
        if self.streams.problem:             # it has seen the change first
            raise cp.ConpetError(self.streams.problem)
        self.stream, self.table.value, self.status.value = self.streams.stream, self.streams.table.value, "Ready."

    def job(self) -> str:
        self.run = None
        for on_step in (lambda step: True, self.told):      # open the run, which may be begun or finished; then train
            self.keep(cp.train(self.stream, self.backbone, self.chosen, self.seed, on_step=on_step, bar=False))
        done = self.run.record["stages_done"]
        return (f"Done: {self.run.average_accuracy.iloc[-1]:.1%} average accuracy at the end." if self.run.finished else
                f"Stopped in stage {done + 1} of {len(self.stream)}. What is finished is kept: ask it, or press Train.")

    def told(self, step: cp.Step) -> bool:
        if step.stage - 1 > self.run.record["stages_done"]:
            self.keep(cp.load_run(self.run.folder, self.backbone))      # a stage has ended: its point appears
        return super().told(step)

    def keep(self, run: Run) -> None:
        """Keep the run as far as it got, and draw the curve of its finished stages."""
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


class AblationPanel(JobPanel):
    """Change one setting, hold the rest: a figure and paired intervals fill in as runs finish. `.runs`.

    Args: factor: a field of the learner's config. values: of the factor, as code. seeds: how many. settings: fields of
        the config that are held at other values than its defaults."""

    def __init__(self, stream: Stream, backbone: Backbone, learner: str = "static", factor: str = "rank",
                 values: str = "1, 4, 16", seeds: int = 2, settings: dict | None = None):
        self.stream, self.backbone, self.settings, self.runs = stream, backbone, settings or {}, []
        factors = dict.fromkeys(field.name for kind in CONFIGS.values() for field in fields(kind)[1:])
        super().__init__({
            "learner": control(learner, "learner", "how a stage is trained", list(CONFIGS)),
            "factor": control(factor, "factor", "the setting that is changed", list(factors)),
            "values": control(values, "values", "two or more with commas between them; texts in quotes"),
            "seeds": control(seeds, "seeds", "each value is trained with each seed", low=1)})

    def show(self) -> None:
        learner, factor, values, seeds = self.config.values()
        try:
            values = literal_eval(f"{values},")
        except (SyntaxError, ValueError):
            values = ()
        if len(values) < 2:
            raise ValueError("Write two values or more, such as 1, 4, 16; texts in quotes.")
        kind, held = CONFIGS[learner], {"learner": learner, **self.settings}
        if factor not in {field.name for field in fields(kind)}:
            raise ValueError(f"The learner {learner!r} has no setting {factor}.")
        configs = ", ".join(call(f"cp.{kind.__name__}", **{**held, factor: value}) for value in values)
        self.code = (f"table = cp.grid([stream], backbone, [{configs}], range({seeds}))\n"
                     f"pairs = cp.compare(table, by={factor!r})\nplots.ablation(table, {factor!r})")
        self.chosen = [(kind(**{**held, factor: value}), seed) for seed in range(seeds) for value in values]

    def job(self) -> str:
        self.runs = []
        for config, seed in self.chosen:
            self.run = cp.train(self.stream, self.backbone, config, seed, bar=False,
                                on_step=lambda step: self.stopping.is_set())
            if self.run.finished:
                self.runs.append(self.run)
                self.progress.value = len(self.runs) / len(self.chosen)
                self.fill_in()
            if self.stopping.is_set():
                break
        return f"{len(self.runs)} of {len(self.chosen)} runs are finished{', Train goes on' * self.stopping.is_set()}."

    def fill_in(self) -> None:
        """Show the finished runs: all in the figure, and the intervals of seeds that have every value."""
        table, factor, each = cp.runs_table(self.runs), self.config["factor"], len(self.chosen) // self.config["seeds"]
        self.draw(plots.ablation(table, factor))
        if whole := len(table) // each * each:                   # the runs of a seed stand together
            pairs = cp.compare(table[:whole], by=factor).round(3).replace("", "nothing")
            self.tabulate(pairs[["one", "other", "difference", "low", "high", "pairs", "not held equal"]])
