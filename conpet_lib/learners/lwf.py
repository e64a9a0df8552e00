"""LwF: learning without forgetting.

Source: Li and Hoiem 2016 (LwF), equation 3, temperature 2. Differs: the distillation is times the
squared temperature (Hinton et al. 2015), and the new labels' loss is over all labels.
"""

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from conpet_lib.learners import settings
from conpet_lib.learners.base import Learner
from conpet_lib.learners.bounds import Vanilla
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.learners.fitting import Fitting
from conpet_lib.learners.replay import Rows
from conpet_lib.models.modules import PetModule


class LwF(Vanilla):
    """No replay; on new rows the old labels keep the probabilities that they had.

    Attributes:
        teacher: The module as it was before the stage; None in the first one.
    """

    teacher: PetModule | None = None

    def begin(self, stage: int) -> Fitting:
        """A stage with the module before it as its teacher, before the head grows.

        Args:
            stage: The stage, from 1.
        """
        self.teacher = copy.deepcopy(self.modules[0]) if self.modules else None
        return super().begin(stage)

    def loss(self, rows: Rows, stage: int) -> Tensor:
        """Cross entropy and the distillation of the old labels' probabilities.

        Args:
            rows: `(batch,)` int64.
            stage: The stage, from 1.
        """
        temperature = float(self.config.temperature)
        strength = float(self.config.strength)
        now = self.logits(rows, stage)
        loss = cross_entropy(now, self.targets(rows))
        if self.teacher is None:
            return loss
        with torch.no_grad():
            scores = self.features.scores(rows.tolist(), self.teacher)
            before = (scores / temperature).softmax(1)  # (batch, old_labels)
        distilled = cross_entropy(now[:, : before.shape[1]] / temperature, before)
        return loss + strength * temperature**2 * distilled

    def extra_passes(self, stage: int, steps: int) -> int:
        """The teacher's pass over each batch, from the second stage on.

        Args:
            stage: The stage, from 1.
            steps: Its optimiser steps.
        """
        if stage == 1:
            return 0
        return steps * int(self.config.batch_size)


@dataclass(frozen=True, kw_only=True)
class LwFConfig(LearnerConfig):
    """Learning without forgetting."""

    learner: ClassVar[str] = "lwf"
    learner_class: ClassVar[type[Learner]] = LwF

    strength: float = settings.zero_or_more(1.0, "Of the distillation, beside the loss.")
    temperature: float = settings.above_zero(2.0, "Of the distillation, as in the paper.")
