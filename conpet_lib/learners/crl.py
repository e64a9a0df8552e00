"""Family: the learners that ConPET is compared with, each an overridden step or two of `Learner`.
In and out: as `learners`. Loss and replay are independent: a name with a star has the same loss over the full history.
May import `learners`. Knows nothing of folders or plots. Start at `EMR`."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import kl_div, normalize

from conpet_lib.learners.base import Fitting
from conpet_lib.learners.emr import EMR
from conpet_lib.learners.frozen import label_means
from conpet_lib.learners.replay import Rows
from conpet_lib.models.modules import PetModule


class CRL(EMR):
    """Consistent representation learning: contrast instead of cross entropy, and the relations of old labels kept.
    A score is the cosine of feature and prototype over the temperature; after each epoch the prototypes of past labels
    are the means of their rows in memory, the new labels' of a memory's worth of training rows. Source: Zhao et al.
    2022 (CRL), sections 3.4 (contrastive replay), 3.5 (distillation); temperatures 0.1, 10: ConPET's official code.
    Differs: no projection to 64 dimensions; contrast and distillation act in one step, as many as in all learners."""

    TEMPERATURE, SHARPNESS = (
        0.1,
        10.0,
    )  # the official code multiplies similarities by its KL temperature

    def begin(self, stage: int) -> Fitting:
        fitting = super().begin(stage)
        self.set_head(fitting.module, stage)
        old = int((self.stream.task_of_label < stage - 1).sum())
        self.relations = normalize(fitting.module.head.detach())[
            :old
        ].clone()  # (old_labels, hidden), as they were
        return fitting

    def set_head(self, module: PetModule, stage: int) -> None:
        """Make the prototypes under a module its head."""
        rows = np.concatenate(
            [
                self.memory,
                self.first_of_each_label(self.stream[stage - 1].train, self.budget(stage)),
            ]
        )
        means = label_means(
            self.features.features_of(rows, module), self.stream.label_numbers(rows)
        )
        length = means.shape[1] ** 0.5  # of a feature, whose root mean square is 1
        module.head.data = normalize(means).to(module.head) / (self.TEMPERATURE * length)

    def score(self, rows: Rows, stage: int) -> tuple[float, float]:
        self.set_head(self.modules[0], stage)
        return super().score(rows, stage)

    def loss(self, rows: Rows, stage: int) -> Tensor:
        module, labels = self.modules[0], self.targets(rows)
        features, prototypes = (
            normalize(self.features.top(rows, module)),
            normalize(module.head.detach()),
        )
        loss = contrast(features, labels, prototypes, self.TEMPERATURE)
        old, relations = labels < len(self.relations), self.relations
        if old.any():
            before = self.SHARPNESS * relations[labels[old]] @ relations.T  # (old_rows, old_labels)
            now = self.SHARPNESS * features[old] @ prototypes[: len(relations)].T
            loss = loss + kl_div(now.log_softmax(1), before.softmax(1), reduction="batchmean")
        return loss


def contrast(features: Tensor, labels: Tensor, prototypes: Tensor, temperature: float) -> Tensor:
    """Supervised contrast of `(batch, hidden)` features to each other and to `(labels, hidden)` prototypes, in nats.
    The mean over features of minus the mean log probability of those with the same label (the prototype among them)
    among all others. All are normalised. Source: Khosla et al. 2020, eq. 2; Zhao et al. 2022 (CRL), eq. 4."""
    others = torch.cat([features, prototypes])  # (batch + labels, hidden)
    owner = torch.cat([labels, torch.arange(len(prototypes), device=labels.device)])
    itself = torch.eye(len(features), len(others), dtype=torch.bool, device=labels.device)
    logits = (features @ others.T / temperature).masked_fill(itself, -torch.inf)
    pulled = (labels[:, None] == owner) & ~itself
    return -(logits.log_softmax(1).masked_fill(~pulled, 0).sum(1) / pulled.sum(1)).mean()
