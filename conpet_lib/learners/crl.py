"""CRL: consistent representation learning, contrast instead of cross entropy.

Source: Zhao et al. 2022 (CRL), sections 3.4 (contrastive replay) and 3.5 (distillation);
temperatures 0.1 and 10 as in ConPET's official code. Differs: no projection to 64 dimensions;
contrast and distillation act in one step, as many steps as all learners take.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import kl_div, normalize

from conpet_lib.learners.base import Learner
from conpet_lib.learners.choosing import CHOOSERS
from conpet_lib.learners.emr import EMR, FullHistory, MemoryConfig
from conpet_lib.learners.fitting import Fitting
from conpet_lib.learners.frozen import label_means
from conpet_lib.learners.replay import Rows
from conpet_lib.models.modules import PetModule


class CRL(EMR):
    """Contrast of features with each other and with prototypes; relations of old labels are kept.

    A score is the cosine of feature and prototype over the temperature. After each epoch the
    prototypes of past labels are the means of their rows in memory, and those of the new labels are
    the means of a memory's worth of training rows.

    Attributes:
        relations: `(old_labels, hidden)`, the old labels' prototypes as they were before the stage.
    """

    loss_is_a_mean = False  # features of a batch are compared with each other
    TEMPERATURE = 0.1
    SHARPNESS = 10.0  # the official code multiplies similarities by its KL temperature

    relations: Tensor

    def begin(self, stage: int) -> Fitting:
        """A stage that starts from prototypes, and remembers those of the old labels.

        Args:
            stage: The stage, from 1.
        """
        fitting = super().begin(stage)
        self.set_head(fitting.module, stage)
        old_labels = int((self.stream.task_of_label < stage - 1).sum())
        prototypes = normalize(fitting.module.head.detach())
        self.relations = prototypes[:old_labels].clone()
        return fitting

    def set_head(self, module: PetModule, stage: int) -> None:
        """Make the prototypes under a module its head.

        Args:
            module: The module, whose features are taken.
            stage: The stage, from 1.
        """
        new = self.first_of_each_label(self.stream[stage - 1].train, self.budget(stage))
        rows = np.concatenate([self.memory, new])
        features = self.features.features_of(rows.tolist(), module)
        means = label_means(features, self.stream.label_numbers(rows))
        length = means.shape[1] ** 0.5  # of a feature, whose root mean square is 1
        module.head.data = normalize(means).to(module.head) / (self.TEMPERATURE * length)

    def score(self, rows: Rows, stage: int) -> tuple[float, float]:
        """(accuracy, minus cross entropy) with the prototypes as they are now.

        Args:
            rows: `(rows,)` int64.
            stage: The stage, from 1.
        """
        self.set_head(self.modules[0], stage)
        return super().score(rows, stage)

    def loss(self, rows: Rows, stage: int) -> Tensor:
        """Contrast, and the distillation of old relations, in nats.

        Args:
            rows: `(batch,)` int64.
            stage: The stage, from 1.
        """
        module = self.modules[0]
        labels = self.targets(rows)
        features = normalize(self.features.top(rows.tolist(), module))
        prototypes = normalize(module.head.detach())
        loss = contrast(features, labels, prototypes, self.TEMPERATURE)
        relations = self.relations
        is_old = labels < len(relations)
        if is_old.any():
            # Both (old_rows, old_labels): how near each old row's label is to every old label.
            before = self.SHARPNESS * relations[labels[is_old]] @ relations.T
            now = self.SHARPNESS * features[is_old] @ prototypes[: len(relations)].T
            distilled = kl_div(now.log_softmax(1), before.softmax(1), reduction="batchmean")
            loss = loss + distilled
        return loss

    def extra_passes(self, stage: int, steps: int) -> int:
        """Those of EMR, and passes for prototypes when a stage begins and after each epoch.

        Args:
            stage: The stage, from 1.
            steps: Its optimiser steps.
        """
        prototypes = EMR.replayable_rows(self, stage + 1)
        times = 1 + int(self.config.epochs)
        return super().extra_passes(stage, steps) + times * prototypes


class CRLStar(FullHistory, CRL):
    """CRL with dynamic replay from the full history."""


def contrast(features: Tensor, labels: Tensor, prototypes: Tensor, temperature: float) -> Tensor:
    """Supervised contrast of features to each other and to prototypes, in nats.

    The mean over features of minus the mean log probability of those with the same label (the
    prototype among them) among all others. All are normalised.

    Args:
        features: `(batch, hidden)`.
        labels: `(batch,)` int64.
        prototypes: `(labels, hidden)`.
        temperature: Similarities are divided by it.

    Returns:
        A scalar.

    Source:
        Khosla et al. 2020, equation 2; Zhao et al. 2022 (CRL), equation 4.
    """
    others = torch.cat([features, prototypes])  # (batch + labels, hidden)
    label_of_other = torch.cat([labels, torch.arange(len(prototypes), device=labels.device)])
    itself = torch.eye(len(features), len(others), dtype=torch.bool, device=labels.device)
    logits = (features @ others.T / temperature).masked_fill(itself, -torch.inf)
    pulled = (labels[:, None] == label_of_other) & ~itself
    log_likely = logits.log_softmax(1).masked_fill(~pulled, 0)
    return -(log_likely.sum(1) / pulled.sum(1)).mean()


@dataclass(frozen=True, kw_only=True)
class CRLConfig(MemoryConfig):
    """CRL: a fixed memory, contrast and distillation."""

    learner: ClassVar[str] = "crl"
    learner_class: ClassVar[type[Learner]] = CRL
    choosers: ClassVar[tuple[str, ...]] = tuple(CHOOSERS)


@dataclass(frozen=True, kw_only=True)
class CRLStarConfig(CRLConfig):
    """CRL*: the same loss over the full history."""

    learner: ClassVar[str] = "crl*"
    learner_class: ClassVar[type[Learner]] = CRLStar
