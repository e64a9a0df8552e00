"""Forecast: what a run will cost, before anything is trained.

In: a stream, a backbone, a config. Out: parameters, bytes, passes and minutes; afterwards, beside what was measured.
May import `learners` and `runs`. Start at `forecast`.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from timeit import repeat, timeit

import numpy as np
import pandas as pd
import torch
from transformers import AutoModel, AutoModelForCausalLM, PretrainedConfig

from conpet_lib.backbone import TARGETS, Backbone, find_layers, is_target
from conpet_lib.config import VanillaConfig
from conpet_lib.features import Features
from conpet_lib.registry import CONFIGS, LEARNERS
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

    def table(self) -> pd.DataFrame:
        """The numbers as people read them."""
        found = {"trained parameters": f"{self.trained_parameters:,}", "share of the backbone": f"{self.share:.2%}",
                 "full tuning trains": f"{self.full_tuning_ratio:,.0f} times as many",
                 "weights on disk a task": f"{self.bytes_per_task / 1024:,.0f} KiB",
                 "passes an answer": str(self.passes_per_answer),
                 "prefix cache": f"{self.cache_bytes / 2**20:,.0f} MiB", "optimiser steps": f"{self.steps:,}"}
        minutes = {} if self.minutes is None else {"minutes here": f"{self.minutes:.1f}"}
        return pd.Series(found | minutes, name="forecast").to_frame()

    def beside(self, run: Run) -> pd.DataFrame:
        """Predicted and measured, a row a quantity."""
        weights = sum(path.stat().st_size for path in (run.folder / "modules").rglob("*.safetensors"))
        measured = run.summary()
        rows = {"trained parameters": (self.trained_parameters, measured["trained parameters"]),
                "bytes a task": (self.bytes_per_task, weights / len(run.record["stream"]["tasks"])),
                "optimiser steps": (self.steps, measured["steps"]),
                "minutes": (self.minutes, measured["seconds"] / 60)}
        return pd.DataFrame(rows, index=["predicted", "measured"]).T


def forecast(stream: Stream, backbone: Backbone, config: VanillaConfig, calibrate: bool | tuple = True) -> Forecast:
    """What `train(stream, backbone, config)` will cost.

    Args: calibrate: run a few steps and passes on rows of the first task (a few seconds) to predict the minutes; or
        what `calibration` measured before.
    Returns: a `Forecast`. Minutes assume that the prefix cache is empty and nothing else runs.
    """
    adapter = sum(shape.numel() for shape in backbone.register(
        backbone.lora(config.rank, config.alpha, config.targets)).values())
    width, stages, labels = backbone.hidden_size + 1, len(stream), len(stream.labels)
    modules = min(config.modules or stages, stages) if config.learner == "dynamic" else 1
    trained = modules * adapter + labels * width
    selects = modules > 1
    if selects:
        trained += adapter + width * (labels if config.selector == "labels" else stages)
    active = min(config.active, modules) if selects else 1
    own_rows = selects and active == 1 and config.teacher_forcing      # a module is trained on rows of its own alone
    alone = config.learner == "vanilla" or (own_rows and modules == stages)
    steps = [steps_of(stream, config, stage, alone) for stage in range(1, stages + 1)]
    selecting = [steps_of(stream, config, stage, False) for stage in range(2, stages + 1)] if selects else []
    rows = sum(len(side) for task in stream for side in (task.train, task.valid, task.test))
    measured = calibration(stream, backbone, config) if calibrate is True else calibrate
    times, tokens = measured or (None, 40.0)
    minutes = None
    if times:
        full, small = (times["step"](config.batch_size * share) for share in (1, config.new_share if own_rows else 1))
        training = (steps[0] + sum(selecting)) * full + sum(steps[1:]) * small
        valid = stages * config.epochs * config.valid_examples * (1 + selects)
        tests = sum(len(task.test) * (stages - place) for place, task in enumerate(stream)) * (active + selects)
        minutes = (rows * times["prefix"] + training + (valid + tests) * times["row"]) / 60
    return Forecast(
        trained_parameters=trained, share=trained / backbone.weights, full_tuning_ratio=backbone.weights / trained,
        bytes_per_task=4 * trained / stages, passes_per_answer=active + selects, minutes=minutes,
        cache_bytes=int(2 * rows * tokens * backbone.hidden_size), steps=sum(steps + selecting))


def steps_of(stream: Stream, config: VanillaConfig, stage: int, alone: bool) -> int:
    """Optimiser steps of one learner in a stage; `alone` if it sees the new task's rows alone."""
    if config.limit(stage) is not None:
        return config.epochs * config.limit(stage)
    seen = stream[stage - 1:stage] if alone else stream[:stage]
    return config.epochs * -(-sum(len(task.train) for task in seen) // config.batch_size)


def calibration(stream: Stream, backbone: Backbone, config: VanillaConfig) -> tuple[dict, float]:
    """Seconds a prefix row, an inference row and a step (a function of its rows); and mean tokens a row."""
    rows = stream[0].train[:32]
    with tempfile.TemporaryDirectory() as folder:
        features = Features(stream.examples, stream.kind, backbone, Path(folder))
        tokens = float(np.mean([len(features.encode(int(row)).tokens) for row in rows]))
        features.fill(rows[:2])
        prefix = timeit(lambda: features.fill(rows[2:]), number=1) / max(1, len(rows) - 2)
        learner = LEARNERS["static"](stream, features, CONFIGS["static"](
            rank=config.rank, alpha=config.alpha, targets=config.targets), 0)
        fitting = learner.begin(1)
        small, large = (np.resize(rows, max(1, count)) for count in (config.batch_size // 2, config.batch_size))
        learner.train_on(large, fitting)
        at = [min(repeat(lambda part=part: learner.train_on(part, fitting), number=1)) for part in (small, large)]
        row = timeit(lambda: features.scores_of(np.resize(rows, 64), fitting.module), number=1) / 64
    slope = max(0.0, (at[1] - at[0]) / max(1, len(large) - len(small)))
    return {"prefix": prefix, "row": row, "step": lambda count: max(0.0, at[1] + slope * (count - len(large)))}, tokens


def pet_size(config: PretrainedConfig, rank: int = 4, tuned_layers: int | str = "all",
             targets: tuple[str, ...] = TARGETS) -> tuple[int, int]:
    """(weights of one adapter, weights of the whole model), counted from a config without loading weights.

    Example: for LLaMA-7B's shapes, rank 4 on q_proj and k_proj of all layers: (2097152, 6738415616).
    """
    with torch.device("meta"):
        try:
            model = AutoModelForCausalLM.from_config(config)
        except ValueError:                                  # an encoder has no causal head
            model = AutoModel.from_config(config)
    _, layers = find_layers(model)
    tuned = layers if tuned_layers == "all" else layers[len(layers) - tuned_layers:]
    adapter = sum(rank * sum(part.weight.shape) for layer in tuned for name, part in layer.named_modules()
                  if is_target(name, part, targets))
    return adapter, sum(weight.numel() for weight in model.parameters())
