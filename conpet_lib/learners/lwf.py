"""Family: the learners that ConPET is compared with, each an overridden step or two of `Learner`.
In and out: as `learners`. Loss and replay are independent: a name with a star has the same loss over the full history.
May import `learners`. Knows nothing of folders or plots. Start at `EMR`."""

import copy

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from conpet_lib.learners.base import Fitting
from conpet_lib.learners.bounds import Vanilla
from conpet_lib.learners.replay import Rows


class LwF(Vanilla):
    """Learning without forgetting: no replay; on new rows the old labels keep the probabilities they had.
    Teacher: the module as it was before the stage. Source: Li and Hoiem 2016 (LwF), eq. 3, temperature 2. Differs: the
    distillation is times the squared temperature (Hinton et al. 2015), and the new labels' loss is over all labels."""

    def begin(self, stage: int) -> Fitting:
        self.teacher = copy.deepcopy(self.modules[0]) if self.modules else None  # before it grows
        return super().begin(stage)

    def loss(self, rows: Rows, stage: int) -> Tensor:
        now, temperature = self.logits(rows, stage), self.config.temperature
        loss = cross_entropy(now, self.targets(rows))
        if self.teacher:
            with torch.no_grad():
                before = (self.features.scores(rows, self.teacher) / temperature).softmax(
                    1
                )  # (batch, old_labels)
            distilled = cross_entropy(now[:, : before.shape[1]] / temperature, before)
            loss = loss + self.config.strength * temperature**2 * distilled
        return loss
