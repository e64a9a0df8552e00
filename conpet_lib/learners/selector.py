"""Selector: which module answers an example, and the active ones by its scores.

Source: ConPET (arXiv 2309.14763), Dynamic ConPET.
"""

import torch
from torch import Tensor

from conpet_lib.learners.answers import sum_by
from conpet_lib.learners.replay import Rows
from conpet_lib.learners.static import StaticConPET
from conpet_lib.models.modules import PetModule


def choose_active(scores: Tensor, count: int, true: Tensor | None = None) -> Tensor:
    """The active modules of each row: the best by the selector's scores.

    Args:
        scores: `(batch, modules)`.
        count: How many are active.
        true: `(batch,)` int64, the true task's module, which takes the place of the last one
            (teacher forcing), or None.

    Returns:
        `(batch, modules)` bool.
    """
    ranked = scores.topk(min(count, scores.shape[1]), dim=1).indices  # (batch, k), best first
    if true is not None:
        missing = (ranked != true[:, None]).all(1)
        ranked[missing, -1] = true[missing]
    return torch.zeros(scores.shape, dtype=torch.bool).scatter(1, ranked, True)


class Selector(StaticConPET):
    """Static ConPET with tasks as labels; or on labels, whose sum is a task's score.

    "solved" is the same, but for the head, which is solved over the history after each stage.
    """

    name = "selector"
    first_stage = 2  # in stage 1 there is nothing to select
    reads_states = False
    reads_module = False
    task_modules: list[PetModule]

    @property
    def solves_head(self) -> bool:
        """Whether its head is solved over the history once it is trained."""
        return bool(self.config.selector == "solved")

    @property
    def on_labels(self) -> bool:
        """Whether its head has a row per label; else it has one per task."""
        return bool(self.config.selector == "labels")

    def new_labels(self, stage: int) -> list[int]:
        """What a stage adds to the head; its first stage is the second, which adds the first, too.

        Args:
            stage: The stage, from 1.
        """
        seen = stage
        if self.on_labels:
            seen = int((self.stream.task_of_label < stage).sum())
        return list(range(len(self.modules[0].owner), seen))

    def targets(self, rows: Rows) -> Tensor:
        """`(batch,)` int64: the right task (or label) of each row.

        Args:
            rows: `(batch,)` int64.
        """
        labels = super().targets(rows)
        if self.on_labels:
            return labels
        return torch.from_numpy(self.stream.task_of_label).to(labels.device)[labels]

    def features_for(self, rows: Rows) -> Tensor:
        """What its head reads, `(rows, hidden)`, on the CPU.

        Args:
            rows: `(rows,)` int64.
        """
        return self.features.features_of(rows.tolist(), self.modules[0])

    def task_scores(self, rows: Rows) -> Tensor:
        """`(rows, tasks)` probabilities of the tasks seen.

        Args:
            rows: `(rows,)` int64.
        """
        likely = self.features.scores_of(rows.tolist(), self.modules[0]).softmax(1)
        if self.on_labels:
            return sum_by(likely, self.stream.task_of_label[: likely.shape[1]])
        return likely

    def head_labels(self) -> int:
        """One row per task, or per label."""
        return super().head_labels() if self.on_labels else len(self.stream)
