"""Forecast: what a run will cost, before anything is trained.

In: a stream, a backbone, a configuration. Out: plain numbers, which the method's learner is asked
for; minutes from a few steps that are timed here. Start at `forecast`.
"""

from dataclasses import dataclass
from functools import partial
from timeit import repeat, timeit
from typing import Any

import numpy as np
import pandas as pd
import torch

from conpet_lib.core.arguments import checked
from conpet_lib.core.files import temporary_folder
from conpet_lib.core.seeds import torch_generator
from conpet_lib.learners.base import Learner
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.learners.exact_head import ExactHead
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.features import Features
from conpet_lib.runs.clock import cpu_threads
from conpet_lib.runs.run import Run
from conpet_lib.streams.stream import Stream, Task

USUAL_TOKENS = 40.0  # of a prompt, where nothing is calibrated
CALIBRATION_ROWS = 32
SOLUTIONS = 4  # strengths that are usually tried in a stage
ANSWERED_ROWS = 64  # of the pass that is timed
BYTES_OF_A_STATE = 2  # half precision
BYTES_OF_A_WEIGHT = 4  # single precision


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run will cost; with a batch limit only its tests grow with the stage.

    Attributes:
        trained_parameters: Of all modules and the selector, heads included.
        full_tuning_ratio: Times fewer than full tuning would train.
        bytes_per_task: Weights on disk, float32, a selector shared out over the tasks.
        history_rows: Training rows kept for replay at the end.
        sums_bytes: Sums that an exact head keeps, whatever the number of tasks; 0 without one.
        passes_per_answer: Top passes, the selector's and those of the active modules; plus one
            prefix.
        cache_bytes: Prefix and state cache of all rows, if no other run has filled them.
        steps: Optimiser steps.
        minutes: On this machine, prefix included; None without calibration.
    """

    trained_parameters: int
    full_tuning_ratio: float
    bytes_per_task: float
    history_rows: int
    sums_bytes: int
    passes_per_answer: int
    cache_bytes: int
    steps: int
    minutes: float | None

    @checked
    def beside(self, run: Run) -> pd.DataFrame:
        """Predicted and measured, a row per quantity.

        Args:
            run: A finished run of the same arguments.
        """
        files = (run.folder / "modules").rglob("*.safetensors")
        weights = sum(path.stat().st_size for path in files)
        measured = run.summary()
        rows = pd.DataFrame(index=["predicted", "measured"])
        rows["trained parameters"] = [self.trained_parameters, measured["trained parameters"]]
        rows["bytes a task"] = [self.bytes_per_task, weights / len(run.record.stream.tasks)]
        rows["optimiser steps"] = [self.steps, measured["steps"]]
        rows["minutes"] = [self.minutes, measured["seconds"] / 60]
        return rows.T


@dataclass(frozen=True)
class Timing:
    """What was timed on this machine, in seconds.

    Attributes:
        tokens: Mean tokens of a prompt.
        prefix: Of one row's prefix.
        answer: Of one row's pass without gradients.
        steps: Of one optimiser step by the number of its rows.
        added: Of one row that an exact head takes in; 0 without one.
        solved: Of the choice of its strength, which solves it a few times.
    """

    tokens: float
    prefix: float
    answer: float
    steps: dict[int, float]
    added: float
    solved: float


@checked
def forecast(
    stream: Stream,
    backbone: Backbone,
    config: LearnerConfig,
    calibrate: bool | dict[Any, Timing] = True,
) -> Forecast:
    """What `train(stream, backbone, config)` will cost.

    Args:
        stream: The tasks.
        backbone: The frozen model.
        config: The method and its settings.
        calibrate: Whether to run steps and passes on rows of the first task (a few seconds) to
            predict the minutes, given an empty prefix cache and an idle machine; a dict keeps what
            was timed for the next call.

    Returns:
        A `Forecast`.

    Raises:
        ConpetError: If the configuration does not fit the backbone, or no folder for temporary
            files can be written.
    """
    with temporary_folder() as folder:
        features = Features(stream.examples, stream.kind, backbone, folder, config.max_tokens)
        learner = config.learner_class(stream, features, config, seed=0)
        timing = None
        if calibrate is not False:
            kept = calibrate if isinstance(calibrate, dict) else {}
            timing = _timing(learner, kept)
        return forecast_of(learner, timing)


def forecast_of(
    learner: Learner, timing: Timing | None = None, tokens: float = USUAL_TOKENS
) -> Forecast:
    """The numbers of a learner that has seen nothing yet.

    Args:
        learner: It may be of a backbone without weights.
        timing: What was timed for it; without it there are no minutes.
        tokens: Of a prompt, where nothing was timed.

    Returns:
        A `Forecast`.
    """
    stream = learner.stream
    backbone = learner.features.backbone
    trained = learner.trained_parameters()
    tokens = tokens if timing is None else timing.tokens
    states = tokens * sum(rows_of(task) for task in stream)
    width: Any = backbone.hidden_size
    kept = states if backbone.boundary else 0  # what embeddings give is not kept
    cache_bytes = BYTES_OF_A_STATE * kept * int(width)
    all_rows = sum(rows_of(task) for task in stream)
    cache_bytes += BYTES_OF_A_WEIGHT * all_rows * learner.states_width()
    steps = sum(learner.steps(stage) for stage in range(1, len(stream) + 1))
    bytes_per_task = BYTES_OF_A_WEIGHT * trained / len(stream)
    minutes = None if timing is None else _minutes(learner, timing)
    return Forecast(
        trained_parameters=trained,
        full_tuning_ratio=backbone.weights / trained,
        bytes_per_task=bytes_per_task,
        history_rows=learner.history_rows(),
        sums_bytes=learner.sums_bytes(),
        passes_per_answer=learner.passes_per_answer(),
        cache_bytes=int(cache_bytes),
        steps=steps,
        minutes=minutes,
    )


def rows_of(task: Task) -> int:
    """All rows of a task.

    Args:
        task: A task.
    """
    return len(task.train) + len(task.valid) + len(task.test)


def _minutes(learner: Learner, timing: Timing) -> float:
    """Minutes of a run: the prefix of every row once, steps, passes without gradients, tests."""
    stream = learner.stream
    stages = len(stream)
    seconds = timing.prefix * sum(rows_of(task) for task in stream)
    passes = 0
    for stage in range(1, stages + 1):
        for plan in learner.plan(stage).values():
            seconds += plan.steps * timing.steps[plan.rows]
            passes += plan.passes
            if plan.solved:
                seconds += plan.solved * timing.added + timing.solved
    for number, task in enumerate(stream):
        tested = len(task.test) * (stages - number)  # once per stage from its own on
        passes += tested * learner.passes_per_answer()
    return (seconds + passes * timing.answer) / 60


def _timing(learner: Learner, kept: dict[Any, Timing]) -> Timing:
    """What was timed for such a learner, timed now if it is not kept."""
    backbone = learner.features.backbone
    config = learner.config
    sizes = set()
    for stage in range(1, len(learner.stream) + 1):
        sizes |= {plan.rows for plan in learner.plan(stage).values()}
    key = (
        backbone.fingerprint,
        backbone.boundary,
        config.learner,
        config.tunes,
        config.rank,
        config.targets,
        tuple(sorted(sizes)),
        learner.solved_width(),
    )
    if key not in kept:
        kept[key] = calibration(learner, sorted(sizes))
    return kept[key]


def calibration(learner: Learner, sizes: list[int]) -> Timing:
    """Steps and passes on rows of the first task, timed on one thread, as `train` has it.

    Args:
        learner: It has seen nothing yet, and its prefix cache is empty.
        sizes: Rows of the steps that are timed.
    """
    rows = learner.stream[0].train[:CALIBRATION_ROWS]
    features = learner.features
    with cpu_threads(1):
        features.fill(rows[:2].tolist())
        seconds = timeit(lambda: features.fill(rows[2:].tolist()), number=1)
        prefix = seconds / max(1, len(rows) - 2)
        fitting = learner.fitting = learner.begin(1)
        learner.take_in(rows, 1)
        steps = {}
        for size in sizes:
            step = partial(learner.train_on, np.resize(rows, size), fitting)
            steps[size] = min(repeat(step, number=1))
        answered = np.resize(rows, ANSWERED_ROWS).tolist()
        seconds = timeit(lambda: features.features_of(answered, fitting.module), number=1)
        added, solved = _solving(learner.solved_width())
    tokens = [len(features.encode(row).tokens) for row in rows.tolist()]
    return Timing(float(np.mean(tokens)), prefix, seconds / ANSWERED_ROWS, steps, added, solved)


def _solving(width: int) -> tuple[float, float]:
    """Seconds of a row that an exact head takes in, and of the choice of its strength."""
    if not width:
        return 0.0, 0.0
    features = torch.randn(CALIBRATION_ROWS, width, generator=torch_generator(0, "solving"))
    labels = torch.arange(CALIBRATION_ROWS) % 2
    head = ExactHead(width)
    added = timeit(lambda: head.add(features, labels), number=1)
    solved = timeit(lambda: head.solve(head.scale), number=1)
    return added / CALIBRATION_ROWS, SOLUTIONS * solved
