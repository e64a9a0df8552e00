"""Panels that look: at examples, at runs, at what was lost, at a selector.

In: a corpus, runs. Out: tables of keys, labels and numbers; text of a corpus on the screen only, never kept in a page.
"""

import html
from pathlib import Path

import numpy as np
from IPython.display import HTML as Html
from ipywidgets import HTML, Button, GridBox, Play, jslink

import conpet_lib as cp
from conpet_lib import plots
from conpet_lib.backbone import Backbone
from conpet_lib.corpora import Corpus, Example
from conpet_lib.prompts import Prompt
from conpet_lib.runs import Run
from conpet_lib.widgets.panel import Panel, call, control


def card(example: Example, prompt: Prompt) -> str:
    """An example as HTML: label, text with its spans in colour, prompt."""
    text = html.escape(example.text)
    for span in map(html.escape, example.span_texts()):
        text = text.replace(span, f"<mark style='background:#f5c77e'>{span}</mark>", 1)
    return f"<p><b>{html.escape(example.label)}</b><br>{text}<br><code>{html.escape(prompt.render(example))}</code></p>"


def examples(corpus: Corpus, backbone: Backbone, count: int = 10, seed: int = 0, label: str = "") -> Html:
    """Examples drawn at random, of one label or of all, with the prompt that the backbone reads."""
    rows = [row for row, example in enumerate(corpus.examples) if label in ("", example.label)]
    drawn = np.random.default_rng(seed).choice(rows, min(count, len(rows)), replace=False)
    return Html("".join(card(corpus.examples[row], Prompt(backbone.tokenizer, corpus.kind)) for row in drawn))


class ExampleExplorer(Panel):
    """Look at the examples of a label, a few at a time."""

    def __init__(self, corpus: Corpus, backbone: Backbone, label: str = "", count: int = 3, seed: int = 0):
        self.corpus, self.backbone, self.cards = corpus, backbone, HTML()
        counts = corpus.counts().most_common()
        super().__init__({
            "label": control(label, "label", "of one label, or of all",
                             [("all", ""), *((f"{name} ({number:,})", name) for name, number in counts)]),
            "count": control(count, "examples", "how many", low=1, high=20, slider=True),
            "seed": control(seed, "seed", "another number: other examples")}, self.cards)

    @property
    def code(self) -> str:
        return call("widgets.examples", "corpus", "backbone", **self.config)

    def show(self) -> None:
        self.cards.value = examples(self.corpus, self.backbone, **self.config).data

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {**self.view._repr_mimebundle_(), "text/html": self.text.value, "text/plain": self.code}     # no texts


class RunBrowser(Panel):
    """List the runs under a folder, choose some, compare them: `.runs`, `.runs_table`."""

    SHOWN = ("learner", "rank", "seed", "stages", "average accuracy", "forgetting", "steps", "seconds")

    def __init__(self, folder: str | Path, containing: str = "", runs: tuple[str, ...] = ()):
        self.folder, self.all_runs = folder, cp.runs_table(folder)
        self.all_runs = self.all_runs[self.all_runs["problem"] == ""].set_index("folder")
        super().__init__({"containing": control(containing, "only with", "a part of a run's folder or learner"),
                          "runs": control(runs, "runs", "Ctrl for several: click, or arrows and space",
                                          list(self.all_runs.index))})

    @property
    def code(self) -> str:
        return f"runs = [cp.load_run(folder) for folder in {list(self.config['runs'])!r}]\nplots.average_curves(runs)"

    def show(self) -> None:
        wanted, shown = self.config["containing"], self.all_runs
        shown = shown[[wanted in f"{folder} {learner}" for folder, learner in shown["learner"].items()]]
        chooser, chosen = self.controls["runs"], [name for name in self.config["runs"] if name in shown.index]
        if list(chooser.options) != list(shown.index):                   # the view fails on a choice that is gone
            chooser.value, chooser.options = (), list(shown.index)
            chooser.value = chosen
        self.runs = [cp.load_run(folder) for folder in self.config["runs"]]
        table = shown.loc[list(self.config["runs"]) or slice(None), list(self.SHOWN)]
        self.tabulate(table.rename(index=lambda folder: Path(folder).name).round(3))
        self.picture.layout.display = "none"
        if self.runs:
            self.draw(plots.average_curves(self.runs))


class MatrixExplorer(Panel):
    """The accuracy matrix as buttons: press one to list what was lost there: `.lost`, with keys and labels."""

    def __init__(self, run: Run, stage: int = 0, task: int = 1):
        self.run, matrix = run, (100 * run.accuracy_matrix).round()
        colours = plots.sns.color_palette(plots.SEQUENTIAL, 101).as_hex()
        self.buttons = {}
        for (row, column), value in matrix.stack().dropna().items():
            button = self.buttons[row, column] = Button(
                description=f"{value:.0f}", tooltip=f"after stage {row}, task {column}: {value:.0f} % right",
                layout={"width": "3.2em", "grid_area": f"{row} / {column}"},     # the view drops grid_row
                style={"button_color": colours[int(value)], "text_color": "black" if value > 45 else "white"})
            button.on_click(lambda pressed, row=row, column=column: self.choose(row, column))
        grid = GridBox(list(self.buttons.values()), layout={"grid_gap": "1px", "justify_content": "flex-start"})
        last = len(matrix)
        super().__init__({"stage": control(stage or last, "after stage", "a row", low=1, high=last, slider=True),
                          "task": control(task, "task", "a column", low=1, high=last, slider=True)}, grid)

    def choose(self, stage: int, task: int) -> None:
        """Press a button."""
        self.controls["stage"].value, self.controls["task"].value = stage, task

    @property
    def code(self) -> str:
        return "run.forgotten(task={task}, stage={stage})".format(**self.config)

    def show(self) -> None:
        stage, task = self.config["stage"], self.config["task"]
        if task > stage:
            raise ValueError(f"Task {task} comes after stage {stage}: choose a task up to {stage}.")
        self.lost = self.run.forgotten(task, stage)
        self.tabulate(self.lost)
        self.status.value = f"After stage {stage}, {len(self.lost)} test rows of task {task} that were right are wrong."


class SelectorExplorer(Panel):
    """A map of the selector's features; a slider goes from the surest test row to the least sure and shows it."""

    def __init__(self, run: Run, stream: cp.tasks.Stream, place: int = 0):
        self.run, self.stream, self.card = run, stream, HTML()
        self.map = plots.selector_map(run, stream)
        last = run.predictions[run.predictions["stage"] == run.record["stages_done"]]
        self.rows = last.sort_values("task_confidence", ascending=False).reset_index(drop=True)
        super().__init__({"place": control(place, "place", "0 is the surest row", high=len(self.rows) - 1,
                                           slider=True)}, self.card)

    @property
    def code(self) -> str:
        return f"panel.rows.loc[{self.config['place']}]"

    def show(self) -> None:
        row = self.rows.loc[self.config["place"]]
        example = next(example for example in self.stream.examples if example.key == row["key"])
        self.card.value = card(example, self.run.learner.features.prompt)
        self.tabulate(row[["key", "label", "task", "chosen_task", "predicted", "task_confidence"]].to_frame())
        self.draw(plots.mark(self.map, row["key"]))


class Playback(Panel):
    """A recorded run as if it were trained now, a stage after the other: for a room that has no time to train."""

    def __init__(self, run: Run, stage: int = 1, milliseconds: int = 1000):
        self.run, stages = run, run.record["stages_done"]
        controls = {"stage": control(stage, "stage", "stages done", low=1, high=stages, slider=True)}
        self.play = Play(min=1, max=stages, interval=milliseconds, tooltip="play the stages")
        jslink((self.play, "value"), (controls["stage"], "value"))
        super().__init__(controls, self.play)

    @property
    def code(self) -> str:
        return f"run.average_accuracy.loc[:{self.config['stage']}]"

    def show(self) -> None:
        self.tabulate((100 * self.run.average_accuracy.loc[:self.config["stage"]]).round(1).to_frame())
        self.draw(plots.average_curves([self.run], upto=self.config["stage"]))
