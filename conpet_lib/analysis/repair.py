"""Repair: another choice of modules from scores that are kept, without training anything.

In: a run of Dynamic ConPET and its stream. Out: what a prior, a temperature, a choice by doubt or
an abstention would have given. Every module has scored every test row once; what follows is
arithmetic. Start at `selector_bench`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from conpet_lib.analysis.chances import log_chances, module_chances, prior_of, tested
from conpet_lib.core.arguments import checked
from conpet_lib.core.errors import ArgumentError
from conpet_lib.core.kinds import Rule
from conpet_lib.learners.dynamic import FLOOR
from conpet_lib.runs.run import Run
from conpet_lib.streams.stream import Stream

Temperature = Annotated[float, Rule(lambda value: 0 < value <= 1e6, "above 0, at most a million")]
Points = Annotated[int, Rule(lambda count: 2 <= count <= 1001, "from 2 to 1,001")]
Share = Annotated[float, Rule(lambda part: 0 <= part <= 1, "from 0 to 1")]


@dataclass(frozen=True)
class SelectorBench:
    """What the selector and all modules said to the test rows after the last stage.

    Attributes:
        chances: `(rows, modules)` the selector's probabilities, float32.
        scores: `(rows, seen_labels)` of all modules.
        labels: `(rows,)` int64, the right ones.
        module_of_label: `(seen_labels,)` int64.
        prior: `(modules,)`, weights fitted on the validation rows; their mean is 1.
    """

    chances: Tensor
    scores: Tensor
    labels: Tensor
    module_of_label: Tensor
    prior: tuple[float, ...]

    @checked
    def try_out(
        self,
        prior: Sequence[float] = (),
        temperature: Temperature = 1.0,
        reach: Share = 0.0,
        least: Share = 0.0,
    ) -> dict[str, float]:
        """What a changed choice of modules gives.

        Args:
            prior: A weight for each module, by which its probability is multiplied; () for 1 each.
            temperature: Probabilities are taken to the power of one over it: above 1 the selector
                is less sure, below 1 surer. The best module stays the best.
            reach: As many modules are active as it takes to reach this probability: 0 is the best
                one alone, 1 is all of them.
            least: Rows whose best module has a smaller probability are not answered.

        Returns:
            As parts of 1: `accuracy` of the rows that are answered, `answered`, `module right` (the
            true task's module comes first); and `modules`, how many are active on average.

        Raises:
            ArgumentError: For a value out of its range, or a prior of another length.
        """
        chances = self._repaired(prior, temperature)
        active = choose_by_doubt(chances, reach)
        answered = chances.max(1).values >= least
        hidden = ~active[:, self.module_of_label]
        right = self.scores.masked_fill(hidden, FLOOR).argmax(1) == self.labels
        first = chances.argmax(1) == self.module_of_label[self.labels]
        return {
            "accuracy": right[answered].float().mean().item(),
            "answered": answered.float().mean().item(),
            "module right": first.float().mean().item(),
            "modules": active.sum(1).float().mean().item(),
        }

    @checked
    def frontier(
        self,
        points: Points = 11,
        prior: Sequence[float] = (),
        temperature: Temperature = 1.0,
    ) -> pd.DataFrame:
        """Accuracy against modules that are active, from the best one alone to all of them.

        Args:
            points: How many reaches from 0 to 1.
            prior: As for `try_out`.
            temperature: As for `try_out`.

        Returns:
            A row per reach, in the index: the columns of `try_out`.
        """
        reaches = np.linspace(0, 1, points).tolist()
        rows = [self.try_out(prior, temperature, reach) for reach in reaches]
        return pd.DataFrame(rows, index=pd.Index(reaches, name="reach"))

    def _repaired(self, prior: Sequence[float], temperature: float) -> Tensor:
        """`(rows, modules)` probabilities after prior and temperature."""
        if not len(prior) and temperature == 1:
            return self.chances  # to the last bit
        modules = self.chances.shape[1]
        weights = torch.tensor(list(prior) or [1.0] * modules)
        if len(weights) != modules or not (weights > 0).all():
            raise ArgumentError(f"prior: give {modules} weights above 0, one for each module.")
        return (log_chances(self.chances) / temperature + weights.log()).softmax(1)


def choose_by_doubt(chances: Tensor, reach: float) -> Tensor:
    """The modules that are active if as many are taken as reach a probability.

    Args:
        chances: `(rows, modules)` probabilities.
        reach: 0 takes the best one, 1 all.

    Returns:
        `(rows, modules)` bool.
    """
    if reach >= 1:
        return torch.ones(chances.shape, dtype=torch.bool)
    ranked = chances.sort(dim=1, descending=True, stable=True)
    before = ranked.values.cumsum(1) - ranked.values  # what the better ones reach together
    taken = before < reach
    taken[:, 0] = True
    return torch.zeros(chances.shape, dtype=torch.bool).scatter(1, ranked.indices, taken)


@checked
def selector_bench(run: Run, stream: Stream) -> SelectorBench:
    """Let every module score every test row once, for repairs of the choice between them.

    Args:
        run: Of Dynamic ConPET.
        stream: What it was trained on.

    Returns:
        A `SelectorBench`.

    Raises:
        ConpetError: If it is another stream, the run has no selector, or there are no test rows.
    """
    learner, rows = tested(run, stream)
    every = torch.ones(len(rows), len(learner.modules), dtype=torch.bool)
    scores = learner.scores_of_active(rows, every).cpu()
    task_of_label = stream.task_of_label[: scores.shape[1]]
    module_of_label = torch.from_numpy(np.array(learner.module_of_task)[task_of_label])
    return SelectorBench(
        module_chances(learner, rows),
        scores,
        torch.from_numpy(stream.label_numbers(rows)),
        module_of_label,
        prior_of(learner, stream),
    )
