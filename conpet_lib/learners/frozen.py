"""Family: the learners that ConPET is compared with, each an overridden step or two of `Learner`.
In and out: as `learners`. Loss and replay are independent: a name with a star has the same loss over the full history.
May import `learners`. Knows nothing of folders or plots. Start at `EMR`."""

import numpy as np
import torch
from torch import Tensor

from conpet_lib.learners.base import Fitting, Learner
from conpet_lib.learners.replay import Rows
from conpet_lib.models.modules import PetModule


class Linear(Learner):
    """A linear head on the features of the backbone as it is, with dynamic replay: what does tuning add at all?"""

    def new_module(self, number: int) -> PetModule:
        return PetModule(self.features.backbone, None, self.seed, self.name, number)


class ClassMean(Linear):
    """The nearest class mean on the features of the backbone as it is: what is lost is lost to new labels alone.
    No step is taken: a score is minus half the squared distance to the mean, up to a term that is the same for all
    labels. Source: Mensink et al. 2013, eq. 1 and 2."""

    def begin(self, stage: int) -> Fitting:
        fitting = super().begin(stage)
        head, bias = fitting.module.head.data, fitting.module.bias.data
        rows = self.stream[stage - 1].train
        means = label_means(self.features.features_of(rows), self.stream.label_numbers(rows)).to(
            head
        )
        head[-len(means) :], bias[-len(means) :] = (
            means,
            -means.square().sum(1) / 2,
        )  # the rows that are new
        return fitting

    def batches(self, stage: int, epoch: int) -> list[Rows]:
        return [self.stream[stage - 1].train[:0]]


def label_means(features: Tensor, numbers: np.ndarray) -> Tensor:
    """`(labels, hidden)` means of features `(rows, hidden)` by label, in the order of the labels' `(rows,)` numbers."""
    return torch.stack([features[numbers == number].mean(0) for number in np.unique(numbers)])
