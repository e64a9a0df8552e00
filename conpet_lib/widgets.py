"""Widgets: panels over library calls, for playing in a notebook.

In: a corpus and a backbone. Out: a panel with `.config`, `.code` and `.view`; or HTML to look at. Trains nothing
itself: it calls `make_stream` and `train`. A click only starts a worker; results come back as trait updates, never
by print or pyplot, so that a panel works in every notebook front end. Start at `TrainPanel`.
"""

import html
import threading

import numpy as np
import pandas as pd
from IPython.display import HTML as Html
from ipywidgets import HTML, BoundedIntText, Button, Dropdown, FloatProgress, HBox, Image, VBox

import conpet_lib as cp
from conpet_lib.backbone import Backbone
from conpet_lib.corpora import Corpus
from conpet_lib.prompts import Prompt
from conpet_lib.registry import CONFIGS
from conpet_lib.runs import Run


class TrainPanel:
    """A panel that trains: choose a stream, a learner and a rank, press Train, watch the curve grow.

    Args:
        tasks ... rank: what the controls show at first. seed: of the training.
        counts: `train`, `valid`, `test` examples a label, where they differ from `make_stream`'s.
        settings: fields of the config without a control, where they differ from its defaults.
    Attributes: `config`, the settings shown, plain values; `code`, the calls that make the same run; `problem`, what is
    wrong with the settings in words, or ""; `run`, as far as it got, or None; `view`, a box; `controls`, by setting.
    """

    def __init__(self, corpus: Corpus, backbone: Backbone, tasks: int = 4, labels_per_task: int = 4,
                 grouping: str = "mixed", order_seed: int = 0, learner: str = "static", rank: int = 4, seed: int = 0,
                 counts: dict[str, int] | None = None, settings: dict | None = None):
        self.corpus, self.backbone, self.seed = corpus, backbone, seed
        self.counts, self.settings = counts or {}, settings or {}
        self.run: Run | None = None
        self.worker, self.stopping = threading.Thread(), threading.Event()

        def control(value, name, tip, kind=BoundedIntText, **more):
            return kind(value=value, description=name, tooltip=tip, **more, style={"description_width": "9em"},
                        layout={"width": "22em"})

        self.controls = {
            "tasks": control(tasks, "tasks", "how many tasks are learned, one after the other", min=1),
            "labels_per_task": control(labels_per_task, "labels per task", "how many labels a task brings", min=1),
            "grouping": control(grouping, "grouping", "any kind, or one group", Dropdown, options=["mixed", "similar"]),
            "order_seed": control(order_seed, "order seed", "another number, another order of the tasks"),
            "learner": control(learner, "learner", "how a stage is trained", Dropdown, options=list(CONFIGS)),
            "rank": control(rank, "rank", "of the LoRA matrices: the size of a PET module", min=1)}
        self.train_button = Button(description="Train", icon="play", tooltip="train, or go on with a stopped run")
        self.stop_button = Button(description="Stop", icon="stop", tooltip="finished stages are kept", disabled=True)
        self.progress = FloatProgress(max=1, description="progress", layout={"width": "44em"})
        self.curve = Image(format="png", layout={"width": "44em", "display": "none"})
        self.status, self.tasks, self.text = HTML(), HTML(), HTML()
        left = VBox([*self.controls.values(), HBox([self.train_button, self.stop_button])])
        self.view = VBox([HBox([left, self.tasks]), self.progress, self.status, self.curve, self.text])
        self.train_button.on_click(lambda button: self.start())
        self.stop_button.on_click(lambda button: self.stopping.set())
        for widget in self.controls.values():
            widget.observe(lambda change: self.refresh(), "value")
        self.refresh()

    def refresh(self) -> None:
        """Read the controls: write the code, cut the stream anew, say in words what cannot be."""
        self.config = {name: control.value for name, control in self.controls.items()}
        stream = {**self.config, **self.counts}
        kind, settings = CONFIGS[stream["learner"]], {name: stream.pop(name) for name in ("learner", "rank")}
        settings |= self.settings
        asked, chosen = (", ".join(f"{name}={value!r}" for name, value in call.items()) for call in (stream, settings))
        self.code = (f"stream = cp.make_stream(corpus, {asked})\n"
                     f"run = cp.train(stream, backbone, cp.{kind.__name__}({chosen}), seed={self.seed})")
        self.text.value = f"<b>The code of these settings</b><pre>{html.escape(self.code)}</pre>"
        try:
            self.chosen, self.stream, self.problem = kind(**settings), cp.make_stream(self.corpus, **stream), ""
            names = pd.Series([", ".join(task.labels) for task in self.stream], range(1, len(self.stream) + 1))
            self.tasks.value = names.rename_axis("task").to_frame("labels").to_html(border=0, justify="left")
            self.status.value = "Ready."
        except (cp.ConpetError, TypeError, ValueError) as error:      # the last two: of a config's fields
            self.problem, self.tasks.value = str(error), ""
            self.status.value = f"<b>These settings do not work.</b> {html.escape(self.problem)}"
        self.train_button.disabled = bool(self.problem)

    def start(self) -> None:
        """Start a worker and return, unless one is at work or the settings are wrong. What the Train button calls."""
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
        """The worker: open the run (it may be begun or finished), train it, show what came out or went wrong."""
        try:
            for on_step in (lambda step: True, self.told):
                self.show(cp.train(stream, self.backbone, config, self.seed, on_step=on_step, bar=False))
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
            self.show(cp.load_run(self.run.folder, self.backbone))
        share = 0 if step.loss is None else step.done / step.total      # only training steps move the bar
        self.progress.value = max(self.progress.value, (step.stage - 1 + share) / step.stages)
        self.status.value = f"Stage {step.stage} of {step.stages}: {step.doing}, {step.done} of {step.total}"
        return self.stopping.is_set()

    def show(self, run: Run) -> None:
        """Keep the run as far as it got, and draw the curve of its finished stages."""
        self.run = run
        if run.record["stages_done"]:
            self.curve.value, self.curve.layout.display = cp.plots.png(cp.plots.average_curves([run]), 1), ""

    def busy(self, now: bool) -> None:
        """Lock the controls and free the Stop button while the worker runs, and the other way round."""
        for control in (self.train_button, *self.controls.values()):
            control.disabled = now
        self.stop_button.disabled = not now

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        """The live panel; where there is no kernel, tables of its settings and stream, and its code."""
        still = pd.DataFrame([self.config]).to_html(index=False, border=0) + self.tasks.value + self.text.value
        return {**self.view._repr_mimebundle_(), "text/html": still, "text/plain": self.code}


def examples(corpus: Corpus, backbone: Backbone, count: int = 10, seed: int = 0) -> Html:
    """Examples drawn at random, spans in colour, each with its label and the prompt that the backbone reads."""
    prompt, cards = Prompt(backbone.tokenizer, corpus.kind), []
    for row in np.random.default_rng(seed).choice(len(corpus.examples), count, replace=False):
        example = corpus.examples[row]
        text, label, asked = map(html.escape, (example.text, example.label, prompt.render(example)))
        for span in map(html.escape, example.span_texts()):
            text = text.replace(span, f"<mark style='background:#f5c77e'>{span}</mark>", 1)
        cards.append(f"<p><b>{label}</b><br>{text}<br><code>{asked}</code></p>")
    return Html("".join(cards))
