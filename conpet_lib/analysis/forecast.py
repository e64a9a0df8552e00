"""Costs: what a stage spends, and what a run will, in time, memory, parameters, passes and operations.
In: the steps that a learner tells and the counts of its features; or a stream, a backbone, a config. Out: plain
numbers. May import `learners` and `runs`. Start at `forecast`, and `Clock` for what was spent."""

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from timeit import repeat, timeit

import numpy as np
import pandas as pd

from conpet_lib.core.errors import ConpetError
from conpet_lib.learners.base import Learner
from conpet_lib.learners.config import VanillaConfig
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.features import Features
from conpet_lib.runs.clock import cpu_threads
from conpet_lib.runs.run import Run
from conpet_lib.streams.stream import Stream


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run will cost. Of a run with a batch limit no number grows with the stage but those of its tests."""

    trained_parameters: int  # of all modules and the selector, heads included
    full_tuning_ratio: float  # times fewer than full tuning would train
    bytes_per_task: float  # weights on disk, float32, selector shared out over the tasks
    history_rows: int  # training rows kept for replay at the end
    passes_per_answer: (
        int  # top passes: the selector's and those of the active modules; plus one prefix
    )
    cache_bytes: int  # prefix cache of all rows, if no other run has filled it
    steps: int  # optimiser steps
    minutes: float | None  # on this machine, prefix included; None without calibration

    def beside(self, run: Run) -> pd.DataFrame:
        """Predicted and measured, a row a quantity."""
        weights = sum(
            path.stat().st_size for path in (run.folder / "modules").rglob("*.safetensors")
        )
        measured = run.summary()
        rows = {
            "trained parameters": (self.trained_parameters, measured["trained parameters"]),
            "bytes a task": (self.bytes_per_task, weights / len(run.record["stream"]["tasks"])),
            "optimiser steps": (self.steps, measured["steps"]),
            "minutes": (self.minutes, measured["seconds"] / 60),
        }
        return pd.DataFrame(rows, index=["predicted", "measured"]).T


def forecast(
    stream: Stream, backbone: Backbone, config: VanillaConfig, calibrate: bool | dict = True
) -> Forecast:
    """What `train(stream, backbone, config)` will cost. `calibrate` runs steps and passes on rows of the first task (a
    few seconds) to predict the minutes, given an empty prefix cache and an idle machine; a dict keeps what was timed.
    Raises: ConpetError where all weights are tuned, and but for vanilla, static, dynamic, and EMR with a limit."""
    emr = config.learner == "emr" and config.batch_limit
    if config.tunes == "all" or not (emr or config.learner in ("vanilla", "static", "dynamic")):
        raise ConpetError(
            f"There is no forecast of {config.learner!r}; `methods` says in words what a stage costs."
        )
    lora = backbone.lora(config.rank, config.alpha, config.targets)
    adapter, head_row = (
        sum(shape.numel() for shape in backbone.register(lora).values()),
        backbone.hidden_size + 1,
    )
    stages, labels, tokens, minutes = len(stream), len(stream.labels), 40.0, None
    modules = min(config.modules or stages, stages) if config.learner == "dynamic" else 1
    trained, active, selects = modules * adapter + labels * head_row, 1, modules > 1
    if selects:
        trained += adapter + head_row * (labels if config.selector == "labels" else stages)
        active = min(config.active, modules)
    own_rows = (
        selects and active == 1 and config.teacher_forcing
    )  # a module is trained on rows of its own alone
    alone = config.learner == "vanilla" or (own_rows and modules == stages)
    own = [len(task.train) for task in stream]
    each = (
        (max(1, config.memory_in_all // labels) if config.memory_in_all else config.memory)
        if emr
        else float("inf")
    )
    seen, kept = np.cumsum(own).tolist(), min(sum(own), each * labels)
    # optimiser steps of each stage; how many rows it sees matters without a batch limit
    steps, selecting = (
        [
            config.epochs * (config.limit(stage) or -(-count // config.batch_size))
            for stage, count in enumerate(counts, 1)
        ]
        for counts in (own if alone else seen, seen)
    )
    selecting = selecting[1:] if selects else []
    rows = sum(len(side) for task in stream for side in (task.train, task.valid, task.test))
    if calibrate is not False:
        sizes = (
            config.batch_size,
            int(config.batch_size * (config.new_share if own_rows else 1)) or 1,
        )
        timed = calibrate if isinstance(calibrate, dict) else {}
        place = backbone.fingerprint, backbone.boundary, config.rank, config.targets, sizes
        if place not in timed:
            timed[place] = calibration(stream, backbone, config, sizes)
        tokens, prefix, answer, (full, small) = timed[place]
        training = (steps[0] + sum(selecting)) * full + sum(steps[1:]) * small
        valid = stages * config.epochs * config.valid_examples * (1 + selects) + sum(own) * bool(
            emr
        )
        tests = sum(len(task.test) * (stages - place) for place, task in enumerate(stream)) * (
            active + selects
        )
        minutes = (rows * prefix + training + (valid + tests) * answer) / 60
    return Forecast(
        trained_parameters=trained,
        full_tuning_ratio=backbone.weights / trained,
        bytes_per_task=4 * trained / stages,
        history_rows=0 if config.learner == "vanilla" else kept,
        passes_per_answer=active + selects,
        minutes=minutes,
        cache_bytes=int(2 * rows * tokens * backbone.hidden_size),
        steps=sum(steps + selecting),
    )


def calibration(
    stream: Stream, backbone: Backbone, config: VanillaConfig, sizes: tuple[int, ...]
) -> tuple:
    """Mean tokens a row; seconds of a prefix row, of an answered row, and of a step for each of `sizes` rows."""
    rows = stream[0].train[:32]
    with cpu_threads(1), tempfile.TemporaryDirectory() as folder:  # one, as in `train`
        features = Features(stream.examples, stream.kind, backbone, Path(folder))
        learner = Learner(stream, features, config, seed=0)
        fitting = learner.begin(1)
        features.fill(rows[:2])
        prefix = timeit(lambda: features.fill(rows[2:]), number=1) / max(1, len(rows) - 2)
        steps = [
            min(repeat(partial(learner.train_on, np.resize(rows, size), fitting), number=1))
            for size in sizes
        ]
        answer = (
            timeit(lambda: features.scores_of(np.resize(rows, 64), fitting.module), number=1) / 64
        )
    return float(np.mean([len(features.encode(row).tokens) for row in rows])), prefix, answer, steps
