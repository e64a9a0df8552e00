"""Family: the learners that ConPET is compared with, each an overridden step or two of `Learner`.
In and out: as `learners`. Loss and replay are independent: a name with a star has the same loss over the full history.
May import `learners`. Knows nothing of folders or plots. Start at `EMR`."""

from functools import partial

import torch
from torch import Tensor

from conpet_lib.core.seeds import numpy_generator
from conpet_lib.learners.base import Learner
from conpet_lib.learners.bounds import Vanilla
from conpet_lib.learners.replay import Rows


class EWC(Vanilla):
    """Elastic weight consolidation: no replay; weights that mattered to past tasks are held by springs.
    The loss gets strength / 2 * sum of F (w - w')^2 over the PET weights and old head rows: w' as they were after the
    last stage, F the sum over past tasks of the diagonal Fisher, the mean squared gradient of a row's loss.
    Source: Kirkpatrick et al. 2017 (EWC), eq. 3. Differs: one anchor, the last, for all tasks (Schwarz et al. 2018);
    the gradient is at the true label, of at most `valid_examples` rows a task."""

    def loss(self, rows: Rows, stage: int) -> Tensor:
        loss = super().loss(rows, stage)
        for name, weight in self.modules[0].named_parameters():
            if f"fisher.{name}" in self.kept:
                fisher, anchor = (
                    self.kept[f"{kind}.{name}"].to(weight) for kind in ("fisher", "anchor")
                )
                loss = (
                    loss
                    + self.config.strength
                    / 2
                    * (fisher * (weight[: len(anchor)] - anchor).square()).sum()
                )
        return loss

    def close(self, stage: int) -> None:
        super().close(stage)
        module, rows = self.modules[0], self.stream[stage - 1].train
        rows = numpy_generator(self.seed, self.name, "fisher", stage).permutation(rows)[
            : self.config.valid_examples
        ]
        fisher = diagonal_fisher(
            module, [partial(Learner.loss, self, row, stage) for row in rows[:, None]]
        )
        for name, weight in module.state_dict().items():
            value = fisher[name].cpu()
            past = self.kept.get(f"fisher.{name}", value[:0])
            value[: len(past)] += past
            self.kept |= {f"fisher.{name}": value, f"anchor.{name}": weight.detach().cpu().clone()}


def diagonal_fisher(module: torch.nn.Module, losses: list) -> dict[str, Tensor]:
    """Mean over losses (functions of nothing, one a row) of the squared gradient of each of a module's weights."""
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
