"""Panels that look: at examples, at runs, at what was lost, at a selector.
In: a corpus, runs. Out: tables of keys, labels, numbers; text of a corpus on the screen only, never kept in a page."""

import html
from pathlib import Path

import numpy as np
from IPython.display import HTML as Html
from ipywidgets import HTML, Button, GridBox, Label, Play, jslink

import conpet_lib as cp
from conpet_lib import plots
from conpet_lib.corpora.example import Corpus, Example
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.prompts import Prompt
from conpet_lib.streams.stream import Stream
from conpet_lib.widgets.panel import Panel, control


def card(example: Example, prompt: Prompt) -> str:
    """An example as HTML: label, text with its spans in colour, prompt."""
    text, label, asked = map(html.escape, (example.text, example.label, prompt.render(example)))
    for span in map(html.escape, example.span_texts()):
        text = text.replace(span, f"<mark style='background:#f5c77e'>{span}</mark>", 1)
    return f"<p><b>{label}</b><br>{text}<br><code>{asked}</code></p>"


def examples(
    corpus: Corpus, backbone: Backbone, count: int = 10, seed: int = 0, label: str = ""
) -> Html:
    """Examples drawn at random, of one label or of all, spans in colour, with the prompt that the backbone reads."""
    rows = [row for row, example in enumerate(corpus.examples) if label in ("", example.label)]
    drawn = np.random.default_rng(seed).choice(rows, min(count, len(rows)), replace=False)
    prompt = Prompt(backbone.tokenizer, corpus.kind)
    return Html("".join(card(corpus.examples[row], prompt) for row in drawn))


class ExampleExplorer(Panel):
    """Look at the examples of a label, a few at a time."""

    template = "widgets.examples(corpus, backbone, count={count}, seed={seed}, label={label!r})"

    def __init__(
        self,
        corpus: Corpus,
        backbone: Backbone,
        label: str = "",
        count: int = 3,
        seed: int = 0,
    ):
        self.corpus, self.backbone, self.cards = corpus, backbone, HTML()
        names = [(f"{name} ({number:,})", name) for name, number in corpus.counts().most_common()]
        super().__init__(
            {
                "label": control(label, "label", "of one label, or of all", [("all", ""), *names]),
                "count": control(count, "examples", "how many", low=1, high=20),
                "seed": control(seed, "seed", "another number: other examples"),
            },
            self.cards,
        )

    def show(self) -> None:
        self.cards.value = examples(self.corpus, self.backbone, **self.config).data


class RunBrowser(Panel):
    """List the runs under a folder by their places in it, choose some, compare them: `.runs`; `.all_runs` has all."""

    SHOWN = (
        "learner",
        "rank",
        "seed",
        "stages",
        "average accuracy",
        "forgetting",
        "steps",
        "seconds",
    )

    def __init__(self, folder: str | Path, containing: str = "", runs: tuple[str, ...] = ()):
        self.folder, found = folder, cp.runs_table(folder)
        found.index = [Path(run).relative_to(folder).as_posix() for run in found["folder"]]
        self.all_runs = found[found["problem"] == ""]
        super().__init__(
            {
                "containing": control(
                    containing, "only with", "a part of a run's folder or learner"
                ),
                "runs": control(
                    runs,
                    "runs",
                    "Ctrl for several: click, or arrows and space",
                    list(self.all_runs.index),
                ),
            }
        )

    def show(self) -> None:
        wanted, shown, chooser = self.config["containing"], self.all_runs, self.controls["runs"]
        if len(shown):
            shown = shown[
                [wanted in f"{folder} {learner}" for folder, learner in shown["learner"].items()]
            ]
        chosen = [name for name in chooser.value if name in shown.index]
        if list(chooser.options) != list(shown.index):  # the view fails on a choice that is gone
            chooser.value, chooser.options = (), list(shown.index)
            chooser.value = chosen
        folders, self.picture.layout.display = shown.loc[chosen, "folder"].to_list(), "none"
        self.runs = [cp.load_run(folder) for folder in folders]
        self.code = f"cp.runs_table({str(self.folder)!r})"
        self.tabulate(
            shown.loc[chosen or slice(None), [name for name in self.SHOWN if name in shown]].round(
                3
            )
        )
        if self.runs:
            self.code = f"runs = [cp.load_run(folder) for folder in {folders!r}]\nplots.average_curves(runs)"
            self.draw(plots.average_curves(self.runs))


class MatrixExplorer(Panel):
    """The accuracy matrix (%) as buttons: press one to list what was lost there: `.lost`, with keys and labels."""

    template = "run.forgotten(task={task}, stage={stage})"

    def __init__(self, run: cp.runs.Run, stage: int = 0, task: int = 1):
        self.run, self.buttons, matrix = run, {}, (100 * run.accuracy_matrix).round()
        colours, last = plots.sns.color_palette("cividis", 101).as_hex(), len(matrix)
        names = [
            Label(f"task {number}", layout={"grid_area": f"1 / {number + 1}"}) for number in matrix
        ]
        names += [
            Label(f"stage {number}", layout={"grid_area": f"{number + 1} / 1"}) for number in matrix
        ]
        for (row, column), value in matrix.stack().dropna().items():
            button = self.buttons[row, column] = Button(
                description=f"{value:.0f}",
                tooltip=f"after stage {row}, task {column}: {value:.0f} % right",
                layout={
                    "width": "3.2em",
                    "grid_area": f"{row + 1} / {column + 1}",
                },  # the view drops grid_row
                style={
                    "button_color": colours[int(value)],
                    "text_color": "black" if value > 45 else "white",
                },
            )
            button.on_click(lambda button, cell=(row, column): self.choose(*cell))
        grid = GridBox(
            [*names, *self.buttons.values()],
            layout={"grid_gap": "1px", "justify_content": "flex-start"},
        )
        super().__init__(
            {
                "stage": control(stage or last, "after stage", "a row", low=1, high=last),
                "task": control(task, "task", "a column", low=1, high=last),
            },
            grid,
        )

    def choose(self, stage: int, task: int) -> None:
        self.controls["stage"].value, self.controls["task"].value = stage, task

    def show(self) -> None:
        stage, task = self.config["stage"], self.config["task"]
        if task > stage:
            raise ValueError(f"Task {task} comes after stage {stage}: choose a task up to {stage}.")
        self.lost = self.run.forgotten(task, stage)
        self.tabulate(self.lost)
        self.status.value = f"After stage {stage}, {len(self.lost)} test rows of task {task} that were right are wrong."


class SelectorExplorer(Panel):
    """A map of the selector's features; a slider goes from the surest test row to the least sure and shows it."""

    template = "points = cp.selector_points(run, stream)\nplots.selector_map(points, {place})"

    def __init__(self, run: cp.runs.Run, stream: Stream, place: int = 0):
        self.run, self.card, self.points = run, HTML(), cp.selector_points(run, stream)
        self.example = {example.key: example for example in stream.examples}
        super().__init__(
            {"place": control(place, "place", "0 is the surest", high=len(self.points) - 1)},
            self.card,
        )

    def show(self) -> None:
        row = self.points.loc[self.config["place"]]
        self.card.value = card(self.example[row["key"]], self.run.learner.features.prompt)
        self.tabulate(row.drop(["x", "y"]).to_frame("row"))
        self.draw(plots.selector_map(self.points, self.config["place"]))


class Playback(Panel):
    """A recorded run as if it were trained now, a stage after the other: for a room that has no time to train."""

    template = "plots.average_curves([run], upto={stage})"

    def __init__(self, run: cp.runs.Run, stage: int = 1, milliseconds: int = 1000):
        self.run, stages = run, run.record.stages_done
        controls = {"stage": control(stage, "stage", "stages done", low=1, high=stages)}
        self.play = Play(min=1, max=stages, interval=milliseconds, tooltip="play the stages")
        jslink((self.play, "value"), (controls["stage"], "value"))
        super().__init__(controls, self.play)

    def show(self) -> None:
        self.draw(plots.average_curves([self.run], upto=self.config["stage"]))
