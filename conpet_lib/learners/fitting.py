"""Fitting: what a stage in training is, what it tells, and what it will be.

Plain values that learners hand to each other, to checkpoints, progress bars and forecasts. Knows no
method.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.ranks import Ranks
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.learners.replay import Rows
from conpet_lib.models.modules import PetModule

STEPS_A_LOOK = 8  # of a GPU, from one look at the loss to the next


@dataclass(frozen=True)
class Step:
    """What a learner tells while it works: where it is.

    Attributes:
        stage: The stage in training, from 1.
        stages: How many there are.
        doing: "prefix", or the name of the part in training: "selector" or "module".
        done: Of `total`: prompts, or optimiser steps of the stage.
        total: How many there will be.
        loss: In nats; None where a batch gave no gradient, and for prompts.
    """

    stage: int
    stages: int
    doing: str
    done: int
    total: int
    loss: float | None = None


def say_nothing(step: Step) -> None:
    """What a learner tells where nobody listens.

    Args:
        step: Where it is.
    """


@dataclass
class Fitting:
    """The state of a stage in training, kept until all parts are trained and written.

    Attributes:
        stage: The stage, from 1.
        module: What is trained.
        optimiser: Of the module's weights.
        step: Optimiser steps done.
        best_score: The best (accuracy, minus loss) on the validation rows so far.
        best: The weights that had it.
        drawn: `(rows,)` int64, the training rows, in all their repeats.
        active: By row, `(modules,)` bool: the modules that take part in its training.
    """

    stage: int
    module: PetModule
    optimiser: torch.optim.Optimizer
    step: int = 0
    best_score: tuple[float, float] | None = None
    best: dict[str, Tensor] = field(default_factory=dict)
    drawn: Rows | None = None
    active: dict[int, Tensor] = field(default_factory=dict)

    def take_step(self, loss_of: Callable[[Rows], Tensor], rows: Rows, ranks: Ranks) -> Tensor:
        """Take one optimiser step.

        Args:
            loss_of: The mean loss of rows, a scalar, in nats.
            rows: `(batch,)` int64.
            ranks: Of the processes that share the rows out.

        Returns:
            The mean loss of the rows, a scalar.
        """
        self.optimiser.zero_grad()
        loss = ranks.backward(loss_of, rows, self.module.parameters())
        self.optimiser.step()
        return loss

    def keep_if_better(self, score: tuple[float, float], validated: bool) -> None:
        """Keep the weights as they are if no earlier epoch scored as well.

        Args:
            score: (accuracy, minus loss) of the epoch that ended.
            validated: Whether there were validation rows; without any the last weights are kept.
        """
        if self.best_score is None or score > self.best_score or not validated:
            self.best_score = score
            weights = self.module.state_dict()
            self.best = {name: weight.clone() for name, weight in weights.items()}

    def take_in(self, rows: Rows, active: Tensor, number: int) -> Rows:
        """Note which modules are active for rows; those that give a module a gradient.

        Args:
            rows: `(rows,)` int64.
            active: `(rows, modules)` bool.
            number: Of the module in training.

        Returns:
            `(trainable_rows,)` int64: those for which it is active.
        """
        self.active.update(zip(rows.tolist(), active))
        return np.compress(active[:, number].numpy(), rows)

    def summary(self, batches: list[Rows]) -> dict[str, Any]:
        """What the stage did, as plain values, for the ledger.

        Args:
            batches: The rows of each step that gave a gradient.
        """
        assert self.drawn is not None and self.best_score is not None
        entry: dict[str, Any] = {"stage": self.stage}
        entry["steps"] = sum(len(rows) > 0 for rows in batches)
        entry["rows"] = len(self.drawn)
        entry["distinct_rows"] = len(np.unique(self.drawn))
        entry["rows_with_gradient"] = sum(len(rows) for rows in batches)
        entry["best_valid_accuracy"] = self.best_score[0]
        return entry


def checked_loss(given: Tensor, fitting: Fitting, config: LearnerConfig) -> float | None:
    """The loss of a step; refused if it is no number any more.

    On a GPU it is looked at every few steps, because the host waits for it: a loss that is no
    number stays so.

    Args:
        given: A scalar, in nats.
        fitting: The stage in training.
        config: The settings that may be the cause.

    Returns:
        The loss; None where it was not looked at.

    Raises:
        ConpetError: It names the settings.
    """
    if given.device.type != "cpu" and fitting.step % STEPS_A_LOOK:
        return None
    loss = given.item()
    if not math.isfinite(loss):
        raise ConpetError(
            f"The loss of stage {fitting.stage} became {loss} in step {fitting.step + 1}. Probably "
            f"learning_rate={config.learning_rate} or alpha={config.alpha} is too high."
        )
    return loss


def optimiser_of(module: PetModule, config: LearnerConfig, stage: int) -> torch.optim.Optimizer:
    """A fresh optimiser of a module's weights, by the settings of a stage.

    Args:
        module: What is trained.
        config: Has the learning rate, weight decay and epsilon of AdamW.
        stage: The stage, from 1.
    """
    return torch.optim.AdamW(
        module.parameters(),
        lr=config.rate(stage),
        eps=config.epsilon,
        weight_decay=config.weight_decay,
        # Fused: over all weights of a backbone, a step takes a third of the time.
        fused=True if module.whole else None,
    )


@dataclass(frozen=True)
class StagePlan:
    """What one part of a learner will do in a stage, known before anything is trained.

    Attributes:
        steps: Optimiser steps.
        rows: Rows with a gradient in one of them.
        passes: Rows of passes without gradients: validation, and what a method needs beside it.
        solved: Rows that an exact head takes in, and is then solved.
    """

    steps: int
    rows: int
    passes: int
    solved: int = 0
