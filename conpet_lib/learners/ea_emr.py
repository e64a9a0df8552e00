"""EA-EMR: EMR with embedding alignment.

Source: Wang et al. 2019 (EA-EMR), section 3.3. Differs: the alignment is found in closed form
(ridge regression towards the identity, strength 1); they and the official code take gradient steps.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from conpet_lib.learners import settings
from conpet_lib.learners.base import Learner
from conpet_lib.learners.choosing import CHOOSERS
from conpet_lib.learners.emr import EMR, FullHistory, MemoryConfig


class EAEMR(EMR):
    """After a stage, old embeddings are brought back to where they were.

    A linear map B takes the memory's features after the stage to `kept["features"]`,
    `(rows, hidden)`, those before it, and goes into the head: scores are W(Bf) + b.
    """

    def close(self, stage: int) -> None:
        """End a stage, align the head, and keep the features of the new memory.

        Args:
            stage: The stage, from 1.
        """
        old_rows = self.memory.tolist()
        module = self.modules[0]
        super().close(stage)
        if stage > 1:
            now = self.features.features_of(old_rows, module)
            aligned = alignment(now, self.kept["features"]).to(module.head)
            module.head.data = module.head.data @ aligned
        self.kept["features"] = self.features.features_of(self.memory.tolist(), module)

    def extra_passes(self, stage: int, steps: int) -> int:
        """Those of EMR, and two passes over the memory, before and after a stage.

        Args:
            stage: The stage, from 1.
            steps: Its optimiser steps.
        """
        before = EMR.replayable_rows(self, stage)
        after = EMR.replayable_rows(self, stage + 1)
        return super().extra_passes(stage, steps) + before + after


class EAEMRStar(FullHistory, EAEMR):
    """EA-EMR with dynamic replay from the full history."""


def alignment(now: Tensor, before: Tensor) -> Tensor:
    """The linear map B that brings features back to where they were.

    It lowers the mean of |B now - before|^2 + |B - 1|^2.

    Args:
        now: `(rows, hidden)`.
        before: `(rows, hidden)`, of the same rows.

    Returns:
        `(hidden, hidden)`.
    """
    ridge = Ridge(alpha=float(len(now)), fit_intercept=False)
    ridge.fit(now.numpy(), (before - now).numpy())
    return torch.eye(now.shape[1]) + torch.from_numpy(ridge.coef_).float()


@dataclass(frozen=True, kw_only=True)
class EAEMRConfig(MemoryConfig):
    """EA-EMR: a fixed memory, aligned after each stage."""

    learner: ClassVar[str] = "ea-emr"
    learner_class: ClassVar[type[Learner]] = EAEMR
    choosers: ClassVar[tuple[str, ...]] = tuple(CHOOSERS)

    head: str = settings.one_of(("trained",), "The alignment goes into the head.")


@dataclass(frozen=True, kw_only=True)
class EAEMRStarConfig(EAEMRConfig):
    """EA-EMR*: the same loss over the full history."""

    learner: ClassVar[str] = "ea-emr*"
    learner_class: ClassVar[type[Learner]] = EAEMRStar
