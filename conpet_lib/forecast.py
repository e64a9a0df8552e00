"""Forecast: what a run will cost, before anything is trained.

In: a stream, a backbone, a config. Out: parameters, bytes, passes and minutes; afterwards, beside what was measured.
May import `learners` and `runs`. Start at `forecast`.
"""

import math
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from timeit import repeat, timeit

import numpy as np
import pandas as pd
import torch
from transformers import AutoModel, AutoModelForCausalLM, PretrainedConfig

from conpet_lib.backbone import TARGETS, Backbone, find_layers, is_target
from conpet_lib.config import VanillaConfig
from conpet_lib.errors import ConpetError
from conpet_lib.features import Features
from conpet_lib.learners import Learner
from conpet_lib.runs import Run
from conpet_lib.tasks import Stream


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run will cost. Of a run with a batch limit no number grows with the stage but those of its tests."""

    trained_parameters: int      # of all modules and the selector, heads included
    share: float                 # of the backbone's parameters, a part of 1
    full_tuning_ratio: float     # times fewer than full tuning would train
    bytes_per_task: float        # weights on disk, float32, selector shared out over the tasks
    passes_per_answer: int       # top passes: the selector's and those of the active modules; plus one prefix
    cache_bytes: int             # prefix cache of all rows, if no other run has filled it
    steps: int                   # optimiser steps
    minutes: float | None        # on this machine, prefix included; None without calibration

    def beside(self, run: Run) -> pd.DataFrame:
        """Predicted and measured, a row a quantity."""
        weights = sum(path.stat().st_size for path in (run.folder / "modules").rglob("*.safetensors"))
        measured = run.summary()
        rows = {"trained parameters": (self.trained_parameters, measured["trained parameters"]),
                "bytes a task": (self.bytes_per_task, weights / len(run.record["stream"]["tasks"])),
                "optimiser steps": (self.steps, measured["steps"]),
                "minutes": (self.minutes, measured["seconds"] / 60)}
        return pd.DataFrame(rows, index=["predicted", "measured"]).T


def forecast(stream: Stream, backbone: Backbone, config: VanillaConfig, calibrate: bool | dict = True) -> Forecast:
    """What `train(stream, backbone, config)` will cost. `calibrate` runs steps and passes on rows of the first task (a
    few seconds) to predict the minutes, which assume that the prefix cache is empty and nothing else runs. A dict is
    given what was timed, and the same is not timed again.
    Raises: ConpetError for other learners than vanilla, static and dynamic, and where all weights are tuned."""
    if config.tunes == "all" or config.learner not in ("vanilla", "static", "dynamic"):
        raise ConpetError(f"There is no forecast of {config.learner!r}; `methods` says in words what a stage costs.")
    lora = backbone.lora(config.rank, config.alpha, config.targets)
    adapter, head_row = sum(shape.numel() for shape in backbone.register(lora).values()), backbone.hidden_size + 1
    stages, labels, tokens, minutes = len(stream), len(stream.labels), 40.0, None
    modules = min(config.modules or stages, stages) if config.learner == "dynamic" else 1
    trained, active, selects = modules * adapter + labels * head_row, 1, modules > 1
    if selects:
        trained += adapter + head_row * (labels if config.selector == "labels" else stages)
        active = min(config.active, modules)
    own_rows = selects and active == 1 and config.teacher_forcing      # a module is trained on rows of its own alone
    alone = config.learner == "vanilla" or (own_rows and modules == stages)
    own = [len(task.train) for task in stream]
    seen = np.cumsum(own).tolist()
    steps = steps_of(own if alone else seen, config)
    selecting = steps_of(seen, config)[1:] if selects else []
    rows = sum(len(side) for task in stream for side in (task.train, task.valid, task.test))
    if calibrate is not False:
        sizes = config.batch_size, int(config.batch_size * (config.new_share if own_rows else 1))
        timed = calibrate if isinstance(calibrate, dict) else {}
        place = backbone.fingerprint, backbone.boundary, config.rank, config.targets, sizes
        if place not in timed:
            timed[place] = calibration(stream, backbone, config, sizes)
        tokens, prefix, answer, (full, small) = timed[place]
        training = (steps[0] + sum(selecting)) * full + sum(steps[1:]) * small
        valid = stages * config.epochs * config.valid_examples * (1 + selects)
        tests = sum(len(task.test) * (stages - place) for place, task in enumerate(stream)) * (active + selects)
        minutes = (rows * prefix + training + (valid + tests) * answer) / 60
    return Forecast(
        trained_parameters=trained, share=trained / backbone.weights, full_tuning_ratio=backbone.weights / trained,
        bytes_per_task=4 * trained / stages, passes_per_answer=active + selects, minutes=minutes,
        cache_bytes=int(2 * rows * tokens * backbone.hidden_size), steps=sum(steps + selecting))


def steps_of(rows: list[int], config: VanillaConfig) -> list[int]:
    """Optimiser steps of each stage of a learner; `rows` is how many each sees, which matters without a batch limit."""
    return [config.epochs * (config.limit(stage) or math.ceil(count / config.batch_size))
            for stage, count in enumerate(rows, 1)]


def calibration(stream: Stream, backbone: Backbone, config: VanillaConfig, sizes: tuple[int, ...]) -> tuple:
    """Mean tokens a row; seconds of a prefix row, of an answered row, and of a step for each of `sizes` rows."""
    rows, before = stream[0].train[:32], torch.get_num_threads()
    torch.set_num_threads(1)                 # as `train` does; more are many times slower where something else runs
    with tempfile.TemporaryDirectory() as folder:
        features = Features(stream.examples, stream.kind, backbone, Path(folder))
        lora = VanillaConfig(rank=config.rank, alpha=config.alpha, targets=config.targets)
        learner = Learner(stream, features, lora, seed=0)
        fitting = learner.begin(1)
        features.fill(rows[:2])
        prefix = timeit(lambda: features.fill(rows[2:]), number=1) / max(1, len(rows) - 2)
        steps = [min(repeat(partial(learner.train_on, np.resize(rows, max(1, size)), fitting), number=1))
                 for size in sizes]
        answer = timeit(lambda: features.scores_of(np.resize(rows, 64), fitting.module), number=1) / 64
        tokens = float(np.mean([len(features.encode(row).tokens) for row in rows]))
    torch.set_num_threads(before)
    return tokens, prefix, answer, steps


def pet_size(config: PretrainedConfig, rank: int = 4, tuned_layers: int | str = "all",
             targets: tuple[str, ...] = TARGETS) -> tuple[int, int]:
    """(weights of one adapter, weights of the whole model), counted from a config without loading weights.
    Example: for LLaMA-7B's shapes, rank 4 on q_proj and k_proj of all layers: (2097152, 6738415616)."""
    with torch.device("meta"):
        try:
            model = AutoModelForCausalLM.from_config(config)
        except ValueError:                                  # an encoder has no causal head
            model = AutoModel.from_config(config)
    tuned = find_layers(model)[1][0 if tuned_layers == "all" else -tuned_layers:]
    adapter = sum(rank * sum(part.weight.shape) for layer in tuned for name, part in layer.named_modules()
                  if is_target(name, part, targets))
    return adapter, sum(weight.numel() for weight in model.parameters())
