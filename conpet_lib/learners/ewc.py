"""EWC: elastic weight consolidation.

Source: Kirkpatrick et al. 2017 (EWC), equation 3. Differs: one anchor, the last, for all tasks
(Schwarz et al. 2018); the gradient is at the true label, of at most `valid_examples` rows per task.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from conpet_lib.core.seeds import numpy_generator
from conpet_lib.learners import settings
from conpet_lib.learners.base import Learner
from conpet_lib.learners.bounds import Vanilla
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.learners.replay import Rows


class EWC(Vanilla):
    """No replay; weights that mattered to past tasks are held by springs.

    The loss gets strength / 2 * sum of F (w - w')^2 over the PET weights and old head rows: w' as
    they were after the last stage, F the sum over past tasks of the diagonal Fisher, the mean
    squared gradient of a row's loss. `kept` has both, as `fisher.NAME` and `anchor.NAME`.
    """

    def loss(self, rows: Rows, stage: int) -> Tensor:
        """Cross entropy and the springs.

        Args:
            rows: `(batch,)` int64.
            stage: The stage, from 1.
        """
        loss = super().loss(rows, stage)
        for name, weight in self.modules[0].named_parameters():
            if f"fisher.{name}" in self.kept:
                fisher = self.kept[f"fisher.{name}"].to(weight)
                anchor = self.kept[f"anchor.{name}"].to(weight)
                moved = (weight[: len(anchor)] - anchor).square()  # a head has new rows below
                loss = loss + self.config.strength / 2 * (fisher * moved).sum()
        return loss

    def close(self, stage: int) -> None:
        """End a stage, add its Fisher to those before it, and set the anchor here.

        Args:
            stage: The stage, from 1.
        """
        super().close(stage)
        module = self.modules[0]
        generator = numpy_generator(self.seed, self.name, "fisher", stage)
        rows = generator.permutation(self.stream[stage - 1].train)[: self.config.valid_examples]
        # The loss without springs, of one row each.
        losses = [partial(Learner.loss, self, row, stage) for row in rows[:, None]]
        fisher = diagonal_fisher(module, losses)
        for name, weight in module.state_dict().items():
            value = fisher[name].cpu()
            earlier = self.kept.get(f"fisher.{name}", value[:0])
            value[: len(earlier)] += earlier
            self.kept[f"fisher.{name}"] = value
            self.kept[f"anchor.{name}"] = weight.detach().cpu().clone()

    def extra_passes(self, stage: int, steps: int) -> int:
        """A pass with a gradient, which costs about three without, for each row of the Fisher.

        Args:
            stage: The stage, from 1.
            steps: Its optimiser steps.
        """
        rows = min(len(self.stream[stage - 1].train), int(self.config.valid_examples))
        return 3 * rows


def diagonal_fisher(module: nn.Module, losses: Sequence[Callable[[], Tensor]]) -> dict[str, Tensor]:
    """The mean over losses of the squared gradient of each of a module's weights.

    Args:
        module: It is left frozen.
        losses: Functions of nothing, one per row.

    Returns:
        Each weight's name with a tensor of its shape.
    """
    weights = dict(module.requires_grad_(True).named_parameters())
    fisher = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for loss in losses:
        gradients = torch.autograd.grad(
            loss(), list(weights.values()), allow_unused=True, materialize_grads=True
        )
        for name, gradient in zip(weights, gradients):
            fisher[name] += gradient.square() / len(losses)
    module.requires_grad_(False)
    return fisher


@dataclass(frozen=True, kw_only=True)
class EWCConfig(LearnerConfig):
    """Elastic weight consolidation."""

    learner: ClassVar[str] = "ewc"
    learner_class: ClassVar[type[Learner]] = EWC

    strength: float = settings.zero_or_more(1e4, "Lambda, of the springs.")
