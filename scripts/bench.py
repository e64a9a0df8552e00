"""A benchmark: the workbench beside what one would write without it, on the same rows and steps.

Usage: `make bench [BACKBONE=minilm-l6] [REPEATS=3] [DEVICE=cpu]`, or `python scripts/bench.py -h`.

Each measurement is a process of its own, so that its memory is its own; plain and ours take turns,
so that a busy machine is busy for both. Start at `main`; `measured` is what such a process does.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import torch
from main_job import picture
from plain_way import PlainWay

import conpet_lib as cp
from conpet_lib import plots
from conpet_lib.core.files import temporary_folder, write_json
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.features import Features
from conpet_lib.models.modules import PetModule
from conpet_lib.runs.clock import cpu_threads
from conpet_lib.runs.run import Run
from conpet_lib.streams.stream import Stream

SHORT = {"epochs": 2, "batch_limit": 15}
METHODS: dict[str, cp.LearnerConfig] = {
    "static": cp.StaticConfig(**SHORT),
    "dynamic": cp.DynamicConfig(**SHORT),
    "dynamic, exact selector": cp.DynamicConfig(selector="exact", **SHORT),
}
SHAPE = {"tasks": 3, "labels_per_task": 4, "train": 60, "valid": 10, "test": 20}
WAYS = ("plain", "ours")
IN_A_STEP = ("data", "top", "head", "back", "optimiser")
CACHES = ("cold", "warm")
STEP_TOKENS = 640  # of a batch
PRODUCTS = 200
# What is timed within a training; the rest is what is left.
OWNERS = {
    "data": Features,
    "prefix": Backbone,
    "states": Backbone,
    "top": Backbone,
    "head": PetModule,
    "back": torch.Tensor,
    "optimiser": torch.optim.AdamW,
}
CALLS = {
    "data": "_batch",
    "prefix": "prefix",
    "states": "states",
    "top": "top",
    "head": "scores",
    "back": "backward",
    "optimiser": "step",
}


def main() -> int:
    """Measure, print the table and keep the record; or do one measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="minilm-l6")
    parser.add_argument("--device", help="cpu, cuda or mps; default: what is there")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--file", type=Path, default=Path("runs/bench.json"))
    parser.add_argument("--one", nargs=2, metavar=("WAY", "METHOD"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(*options.one, options)))
        return 0
    rows = []
    for repeat in range(options.repeats):
        for method in METHODS:
            for way in WAYS:
                rows += one_process(way, method, repeat, options)
    table = pd.DataFrame(rows)
    print(report(table).T.to_string(float_format="{:,.2f}".format))
    write_json(options.file, {"command": "make bench", "backbone": options.backbone, "rows": rows})
    print(f"Figure: {draw(table, options.file.with_suffix('.png'))}")
    return 0


def one_process(
    way: str, method: str, repeat: int, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Do one measurement in a process of its own; returns its rows of the table."""
    command = [sys.executable, __file__, "--one", way, method, "--backbone", options.backbone]
    if options.device:
        command += ["--device", options.device]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    rows = json.loads(done.stdout.splitlines()[-1])
    print(f"{way}, {method}: repeat {repeat + 1}", file=sys.stderr)
    return [{"repeat": repeat, **row} for row in rows]


def measured(way: str, method: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train once the plain way, or twice with the workbench: cache empty, and cache full."""
    stream = cp.make_stream(cp.load_corpus("wordnet"), **SHAPE)
    backbone = cp.load_backbone(options.backbone, device=options.device)
    with temporary_folder() as folder, cpu_threads(1):
        if way == "plain":
            rows = [plain(stream, backbone, METHODS[method], folder)]
        else:
            rows = [ours(stream, backbone, METHODS[method], folder, name) for name in CACHES]
    return [{"method": method, **row} for row in rows]


def ours(
    stream: Stream, backbone: Backbone, config: cp.LearnerConfig, folder: Path, name: str
) -> dict[str, Any]:
    """A run of the workbench, its tests left out of the time."""
    started = Usage()
    with timed_parts() as parts:
        run = cp.train(stream, backbone, config, 0, folder / name, bar=False, cache=folder)
    row: dict[str, Any] = {"way": name, **started.until_now()}
    for what in ("wall", "cpu"):
        row[what] -= of_tests(run, what)
    memory = [size for cost in run.costs for size in cost["host"].values()]
    row["memory"] = max(memory) - started.memory
    accuracies = run.average_accuracy
    row["accuracy"] = accuracies.iloc[-1]
    row["steps"] = run.summary()["steps"]
    trained = [cost["operations"].get("top_trained", 0.0) for cost in run.costs]
    row["operations"] = sum(trained)
    row["rate"] = multiplications_a_second(backbone)
    row["parts"] = parts
    return row


def of_tests(run: Run, what: str) -> float:
    """Seconds in which a run was tested."""
    return sum(cost[what]["evaluation"] for cost in run.costs)


def plain(
    stream: Stream, backbone: Backbone, config: cp.LearnerConfig, folder: Path
) -> dict[str, Any]:
    """The same steps on the same rows, without the workbench."""
    features = Features(stream.examples, stream.kind, backbone, folder)
    learner = config.learner_class(stream, features, config, seed=0)
    way = PlainWay(features, stream, config)
    started = Usage()
    most = started.memory
    steps = 0
    for stage in range(1, len(stream) + 1):
        seen = int((stream.task_of_label < stage).sum())
        for rows in batches_of(learner, stage):
            way.step(rows.tolist(), seen)
            most = max(most, Usage().memory)
            steps += 1
    spent = started.until_now()
    accuracy = accuracy_of(way, stream)
    return {
        "way": "plain",
        **spent,
        "memory": most - started.memory,
        "steps": steps,
        "accuracy": accuracy,
        "operations": None,  # they were not counted
        "rate": None,
        "parts": {},
    }


def batches_of(learner: cp.Learner, stage: int) -> Iterator[np.ndarray]:
    """The rows of each step of a stage that gives a gradient, in their order."""
    learner.module_of_task.append(learner.module_for(stage))
    own = learner.stream[stage - 1].train
    for part in learner.parts.values():
        if stage < getattr(part, "first_stage", 1):
            continue
        of_one_task = part is learner and len(learner.parts) > 1
        for epoch in range(part.config.epochs):
            for rows in part.batches(stage, epoch):
                with_gradient = rows[np.isin(rows, own)] if of_one_task else rows
                if len(with_gradient):
                    yield with_gradient


@torch.no_grad()
def accuracy_of(way: PlainWay, stream: Stream) -> float:
    """Average accuracy over all tasks, among all labels."""
    parts = []
    for task in stream:
        rows = task.test.tolist()
        answers = way.scores(rows).argmax(1)
        is_right = answers == way.targets(rows)
        parts.append(is_right.double().mean().item())
    return float(np.mean(parts))


class Usage:
    """Seconds and bytes at a moment."""

    def __init__(self) -> None:
        self.memory = psutil.Process().memory_info().rss
        self.wall = time.perf_counter()
        self.cpu = time.process_time()

    def until_now(self) -> dict[str, float]:
        """Seconds since."""
        now = Usage()
        return {"wall": now.wall - self.wall, "cpu": now.cpu - self.cpu}


@contextmanager
def timed_parts() -> Iterator[dict[str, float]]:
    """CPU seconds of each of `OWNERS` within; one within another counts for the inner alone."""
    parts = dict.fromkeys(OWNERS, 0.0)
    running: list[str] = []
    since = time.process_time()

    def book() -> None:
        nonlocal since
        now = time.process_time()
        if running:
            parts[running[-1]] += now - since
        since = now

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            book()
            running.append(name)
            try:
                return call(*arguments, **named)
            finally:
                book()
                running.pop()

        return run

    before = {name: getattr(owner, CALLS[name]) for name, owner in OWNERS.items()}
    for name, owner in OWNERS.items():
        setattr(owner, CALLS[name], timed(name, before[name]))
    try:
        yield parts
    finally:
        for name, owner in OWNERS.items():
            setattr(owner, CALLS[name], before[name])


def multiplications_a_second(backbone: Backbone) -> float:
    """Floating-point operations of matrix products a second, at a step's most usual shape."""
    width = backbone.hidden_size
    rows = STEP_TOKENS
    left = torch.randn(rows, width, device=backbone.device)
    right = torch.randn(width, width, device=backbone.device)
    seconds = []
    for _ in range(PRODUCTS):
        since = time.perf_counter()
        product = left @ right
        product.sum().item()
        spent = time.perf_counter() - since
        seconds.append(spent)
    median = float(np.median(seconds))
    return 2 * rows * width * width / median


def report(table: pd.DataFrame) -> pd.DataFrame:
    """Medians by method and way, their spread, and how many times less ours takes than plain."""
    groups = table.groupby(["method", "way"], sort=False)
    medians = groups[["wall", "cpu", "memory", "accuracy", "steps"]].median()
    medians["memory"] /= 2**20  # MiB, beyond what was there before
    medians["least cpu"] = groups["cpu"].min()
    medians["most cpu"] = groups["cpu"].max()
    for what in ("cpu", "memory"):
        of_plain = medians[what].xs("plain", level="way")
        medians[f"times less {what}"] = (
            of_plain.reindex(medians.index, level="method") / medians[what]
        )
    limited = table["operations"].astype(float) / table["rate"].astype(float)
    parts = pd.DataFrame(table["parts"].tolist(), index=table.index)
    in_steps = parts[list(IN_A_STEP)].sum(axis=1)
    shares = (limited / in_steps).groupby([table["method"], table["way"]], sort=False).median()
    medians["part of a step that is matrix products"] = shares
    return medians


def draw(table: pd.DataFrame, path: Path) -> Path:
    """CPU seconds of each way: a panel per method, what ours spends them on in its bars."""
    methods = table["method"].unique()
    panels = plots.axes(5.5 * len(methods), 5, len(methods))
    for ax, method in zip(panels, methods):
        of_method = table[table["method"] == method]
        for place, (_, rows) in enumerate(of_method.groupby("way", sort=False)):
            _draw_bar(ax, place, rows)
            seconds = rows["cpu"].median()
            ax.bar_label(ax.containers[-1], [f"{seconds:.1f}"], padding=3)
        ax.set_xticks(range(of_method["way"].nunique()), of_method["way"].unique())
        plots.titled(ax, method, "", "CPU seconds of training")
    handles, names = panels[0].get_legend_handles_labels()
    first_of = dict(zip(reversed(names), reversed(handles)))
    panels[0].legend(first_of.values(), first_of.keys(), fontsize=11, frameon=False)
    return picture(panels[0], path)


def _draw_bar(ax: plots.Axes, place: int, rows: pd.DataFrame) -> None:
    """One bar, of the parts that were timed and of the rest."""
    parts = pd.DataFrame(rows["parts"].tolist()).median()
    rest = max(0.0, rows["cpu"].median() - parts.sum())
    start = 0.0
    for number, (name, seconds) in enumerate([*parts.items(), ("the rest", rest)]):
        color = plots.PALETTE[number] if name != "the rest" else "lightgrey"
        ax.bar(place, seconds, bottom=start, color=color, label=name)
        start += seconds


if __name__ == "__main__":
    sys.exit(main())
