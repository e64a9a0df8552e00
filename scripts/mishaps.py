"""Mishaps of the authors' code, each put back alone as a learner of its own.

Usage: `make reference DATA=folder-with-val_wiki.json MISHAPS=--mishaps`, which runs `reference.py`.

In: Dynamic ConPET as it is here. Out: variants of it by name, known to `train` once
`register_mishaps` was called. Start at `MISHAPS`.
"""

import numpy as np
import torch

import conpet_lib as cp
from conpet_lib.core.seeds import numpy_generator
from conpet_lib.learners import DynamicConPET, Selector
from conpet_lib.learners.replay import dynamic_replay
from conpet_lib.models.backbone import _Call

THEIR_VALID_BATCHES = 10
THEIR_VALID_BATCH_SIZE = 32


class WholeBatchMean(DynamicConPET):
    """Mishap 1: a loss is divided by the whole batch, though only new rows have a gradient."""

    def loss(self, rows: np.ndarray, stage: int) -> torch.Tensor:
        """The loss of these rows as a part of a whole batch's."""
        return super().loss(rows, stage) * len(rows) / self.config.batch_size


class Redrawn:
    """Validation rows that are drawn again, with repeats, each time: noise picks the epoch."""

    def score(self, rows: np.ndarray, stage: int) -> tuple[float, float]:
        """The score on rows drawn for this epoch instead of the fixed `rows`."""
        epoch = self.fitting.step // len(self.batches(stage, 0)) - 1
        generator = numpy_generator(self.seed, self.name, "redrawn validation", stage, epoch)
        drawn = dynamic_replay(
            self.stream[stage - 1].valid,
            [task.valid for task in self.past(stage)],
            THEIR_VALID_BATCH_SIZE,
            self.config.new_share if stage > 1 else 1.0,
            THEIR_VALID_BATCHES,
            generator,
        )
        with_gradient = self.take_in(np.concatenate(drawn), stage)
        return super().score(with_gradient, stage)


class RedrawnSelector(Redrawn, Selector):
    """The selector of mishap 2."""


class RedrawnValidation(Redrawn, DynamicConPET):
    """Mishap 2: validation rows are redrawn, of the task modules and of the selector."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.selector = RedrawnSelector(*args, **kwargs)


class DriftingSelector(DynamicConPET):
    """Mishap 3: the selector's optimiser goes on, without gradient, while the module trains."""

    def train_on(self, rows: np.ndarray, fitting) -> float | None:
        """A step of the task module, and one of the selector by what its optimiser remembers."""
        value = super().train_on(rows, fitting)
        if self.selector.fitting:  # not in stage 1
            for weight in self.selector.modules[0].parameters():
                weight.grad = torch.zeros_like(weight)
            self.selector.fitting.optimiser.step()
        return value


class RawFeatures(DynamicConPET):
    """No mishap but a difference: their heads read the hidden state as it is.

    Ours is scaled to unit root mean square.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        backbone = self.features.backbone

        def top(hidden, real, answer, adapter=None, config=None, ids=None):
            # What `Backbone.top` does, but for the scale.
            call = _Call(real=real, hidden=hidden, answer=answer)
            return backbone._run(call, ids, adapter, config).squeeze(1).float()

        backbone.top = top


MISHAPS = {
    "whole batch mean": WholeBatchMean,
    "redrawn validation": RedrawnValidation,
    "drifting selector": DriftingSelector,
    "raw features": RawFeatures,
}


def register_mishaps() -> dict[str, type[cp.LearnerConfig]]:
    """Name each mishap's learner, so that `train` knows it; returns their configurations."""
    return {
        mishap: cp.register(f"dynamic, {mishap}", learner, cp.DynamicConfig)
        for mishap, learner in MISHAPS.items()
    }
