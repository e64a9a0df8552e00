"""Frozen: learners on the features of the backbone as it is. What does tuning add at all?

No layer is changed; a head is trained, or computed. Start at `Linear`.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from conpet_lib.learners import settings
from conpet_lib.learners.base import Learner
from conpet_lib.learners.bounds import VanillaConfig
from conpet_lib.learners.fitting import Fitting
from conpet_lib.learners.replay import Rows
from conpet_lib.learners.static import StaticConfig, StaticConPET
from conpet_lib.models.modules import PetModule


class Linear(StaticConPET):
    """A linear head on the features of the backbone as it is, with dynamic replay."""

    def new_module(self, number: int) -> PetModule:
        """A head alone.

        Args:
            number: Its place in `modules`.
        """
        return PetModule(self.features.backbone, None, self.seed, self.name, number)

    def adapter_size(self) -> int:
        """No weight beside the head."""
        return 0


class ClassMean(Linear):
    """The nearest class mean on the features of the backbone as it is.

    No step is taken: a score is minus half the squared distance to the mean, up to a term that is
    the same for all labels. What is lost is lost to new labels alone.

    Source: Mensink et al. 2013, equations 1 and 2.
    """

    def begin(self, stage: int) -> Fitting:
        """A stage whose new head rows are the means of the new labels.

        Args:
            stage: The stage, from 1.
        """
        fitting = super().begin(stage)
        head = fitting.module.head.data
        bias = fitting.module.bias.data
        rows = self.stream[stage - 1].train
        features = self.features.features_of(rows.tolist())
        means = label_means(features, self.stream.label_numbers(rows)).to(head)
        head[-len(means) :] = means
        bias[-len(means) :] = -means.square().sum(1) / 2
        return fitting

    def batches(self, stage: int, epoch: int) -> list[Rows]:
        """One batch without a row: no step is taken.

        Args:
            stage: The stage, from 1.
            epoch: The epoch, from 0.
        """
        return [self.stream[stage - 1].train[:0]]

    def batches_per_epoch(self, stage: int) -> int:
        """No batch is trained on.

        Args:
            stage: The stage, from 1.
        """
        return 0

    def extra_passes(self, stage: int, steps: int) -> int:
        """One pass over the new rows, whose means are taken.

        Args:
            stage: The stage, from 1.
            steps: Its optimiser steps.
        """
        return len(self.stream[stage - 1].train)

    def history_rows(self) -> int:
        """No row is kept."""
        return 0


def label_means(features: Tensor, numbers: np.ndarray) -> Tensor:
    """The mean feature of each label.

    Args:
        features: `(rows, hidden)`.
        numbers: `(rows,)` int64, the rows' label numbers.

    Returns:
        `(labels, hidden)`, in the order of the labels' numbers.
    """
    return torch.stack([features[numbers == number].mean(0) for number in np.unique(numbers)])


@dataclass(frozen=True, kw_only=True)
class LinearConfig(StaticConfig):
    """A linear head on frozen features, with dynamic replay."""

    learner: ClassVar[str] = "linear"
    learner_class: ClassVar[type[Learner]] = Linear

    tunes: str = settings.one_of(("module",), "A head alone: no layer is tuned.")


@dataclass(frozen=True, kw_only=True)
class ClassMeanConfig(VanillaConfig):
    """The nearest class mean on frozen features."""

    learner: ClassVar[str] = "class-mean"
    learner_class: ClassVar[type[Learner]] = ClassMean

    tunes: str = settings.one_of(("module",), "A head alone: no layer is tuned.")
