"""Growth: what a stage and an answer cost as tasks, history, prompts or labels become more.

Usage: `make growth`, or `python scripts/growth.py --help`.

One quantity grows at a time, the others stay as they are. The rows are those of WordNet, repeated
under other labels, so that a thousand tasks or a million rows can be had; all settings that a cost
depends on are real. Earlier stages are gone through without training, because it is the stage that
is timed: three in a row at each point, on a full prefix cache, in CPU seconds. The slope is that of
logarithms: 0 is a cost that does not grow, 1 one that grows as its cause does. Start at `main`.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from long_streams import fitted_slope
from main_job import picture

import conpet_lib as cp
from conpet_lib import plots
from conpet_lib.core.files import temporary_folder, write_json
from conpet_lib.corpora import Example
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.features import Features
from conpet_lib.plots.names import MARKERS
from conpet_lib.runs.clock import cpu_threads
from conpet_lib.streams.stream import Stream, Task

SHORT = {"epochs": 1, "batch_limit": 12}
METHODS = {
    "static": cp.StaticConfig(**SHORT),
    "dynamic": cp.DynamicConfig(**SHORT),
    "exact selector": cp.DynamicConfig(selector="exact", **SHORT),
}
TEXTS = 240  # that are repeated
ANSWERED = 64
IN_A_ROW = 3  # stages that are timed at each point
SIDES = {"train": 20, "valid": 4, "test": 4}  # rows of a label


@dataclass(frozen=True)
class Size:
    """What a stream and its last stage are made of.

    Attributes:
        tasks: How many.
        labels: Of each task.
        history: Training rows of all tasks but the last; None: 20 for each label.
        words: Times that each text is written after itself.
    """

    tasks: int = 10
    labels: int = 2
    history: int | None = None
    words: int = 1


TASKS = (5, 10, 30, 100, 300, 1000)
HISTORIES = (1_000, 10_000, 100_000, 1_000_000)
LABELS = (2, 4, 8, 16, 32)
LENGTHS = (1, 2, 3, 4)
# What grows: a field of `Size`, and its numbers.
GROWING: dict[str, tuple[str, tuple[int, ...]]] = {
    "tasks": ("tasks", TASKS),
    "rows of history": ("history", HISTORIES),
    "labels a task": ("labels", LABELS),
    "length of texts": ("words", LENGTHS),
}


def main() -> int:
    """Time, print and draw; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--causes", nargs="+", choices=GROWING, default=list(GROWING))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--backbone", default="minilm-l6")
    parser.add_argument("--device", help="cpu, cuda or mps; default: what is there")
    parser.add_argument("--folder", type=Path, default=Path("runs/growth"))
    options = parser.parse_args()
    backbone = cp.load_backbone(options.backbone, device=options.device)
    texts = list(cp.load_corpus("wordnet").examples[:TEXTS])
    rows: list[dict[str, Any]] = []
    with temporary_folder() as cache, cpu_threads(1):
        for cause in options.causes:
            field, numbers = GROWING[cause]
            for many in numbers:
                stream = stream_of(texts, Size(**{field: many}))
                for name in options.methods:
                    for timed in stages(stream, backbone, METHODS[name], cache):
                        rows.append({"cause": cause, "many": many, "method": name, **timed})
                print(f"{cause}: {many:,}", file=sys.stderr)
    report(pd.DataFrame(rows), options.folder)
    return 0


def report(table: pd.DataFrame, folder: Path) -> None:
    """Print the slopes, and keep all numbers and the figure."""
    found = slopes(table)
    print(found.round(3).to_string(index=False))
    folder.mkdir(parents=True, exist_ok=True)
    record = {"command": "make growth", "rows": table.to_dict("records")}
    write_json(folder / "growth.json", {**record, "slopes": found.to_dict("records")})
    print(f"Figure: {draw(table, folder / 'growth.png')}")


def stream_of(texts: list[Example], size: Size) -> Stream:
    """A stream of such a size; row `n` has the text of row `n` modulo `TEXTS`."""
    examples: list[Example] = []
    tasks = []
    for task in range(size.tasks):
        labels = [f"label {task * size.labels + number}" for number in range(size.labels)]
        tasks.append(task_of(texts, labels, size.words, examples))
    if size.history is not None:
        earlier = tasks[:-1]
        times = size.history // sum(len(task.train) for task in earlier)
        for number, task in enumerate(earlier):
            repeated = np.tile(task.train, times)
            tasks[number] = replace(task, train=repeated)
    return Stream("wordnet", "definition", tuple(examples), tuple(tasks))


def task_of(texts: list[Example], labels: list[str], words: int, examples: list[Example]) -> Task:
    """A task, whose rows are added to the examples."""
    rows: dict[str, list[int]] = {side: [] for side in SIDES}
    for label in labels:
        for side, count in SIDES.items():
            start = len(examples)
            examples += [other(texts, start + row, label, words) for row in range(count)]
            rows[side] += range(start, len(examples))
    return Task(tuple(labels), **{side: np.array(numbers) for side, numbers in rows.items()})


def other(texts: list[Example], number: int, label: str, words: int) -> Example:
    """A text under another label, written so many times."""
    example = texts[number % len(texts)]
    times = [example.text] * words
    text = " ".join(times)
    return replace(example, key=f"{number}", text=text, label=label)


def stages(
    stream: Stream, backbone: Backbone, config: cp.LearnerConfig, cache: Path
) -> Iterator[dict[str, float]]:
    """Go through a stream, and time its last stages."""
    features = Features(stream.examples, stream.kind, backbone, cache)
    features.fill(range(TEXTS))
    learner = config.learner_class(stream, features, config, seed=0)
    first_timed = len(stream) - IN_A_ROW + 1
    for stage in range(1, len(stream) + 1):
        if stage < first_timed:
            pass_by(learner, stage)
            continue
        before = time.process_time()
        for part in learner.parts.values():
            part.fit(stage)
        trained = time.process_time()
        tested = np.concatenate([task.test for task in stream[:stage]])
        rows = tested[-ANSWERED:]
        learner.answer(rows)
        answered = time.process_time() - trained
        yield {"a stage": trained - before, "an answer": answered / len(rows)}


def pass_by(learner: cp.Learner, stage: int) -> None:
    """Give a learner what a stage adds to it, without training."""
    for part in learner.parts.values():
        part.begin(stage).module.requires_grad_(False)


def slopes(table: pd.DataFrame) -> pd.DataFrame:
    """The slope of each cost by each cause, on logarithms, with its 95 % interval."""
    rows = []
    for (cause, name), part in table.groupby(["cause", "method"], sort=False):
        for cost in ("a stage", "an answer"):
            slope, low, high = fitted_slope(np.log(part["many"]), np.log(part[cost]))
            row = {"cause": cause, "method": name, "cost": cost}
            rows.append({**row, "slope": slope, "low": low, "high": high})
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame, path: Path) -> Path:
    """What a stage costs by each cause: a panel each, a line per method."""
    causes = table["cause"].unique()
    panels = plots.axes(5.5 * len(causes), 5, len(causes))
    for ax, cause in zip(panels, causes):
        part = table[table["cause"] == cause]
        for number, (name, of_method) in enumerate(part.groupby("method", sort=False)):
            medians = of_method.groupby("many")["a stage"].median()
            color, marker = plots.PALETTE[number], MARKERS[number]
            ax.plot(medians.index, medians, marker=marker, color=color, label=name)
        ax.set_xscale("log")
        ax.set_ylim(0, None)
        plots.titled(ax, f"a stage by {cause}", cause, "CPU seconds")
    panels[0].legend(fontsize=12, frameon=False)
    return picture(panels[0], path)


if __name__ == "__main__":
    sys.exit(main())
