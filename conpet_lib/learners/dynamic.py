"""Dynamic ConPET: a module a task, and a selector that picks the active ones.
In and out: as `learners`. Overrides `module_for`, `keep`, `logits` and `answer`. Start at `DynamicConPET.logits`."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from conpet_lib.learners.base import Learner, sum_by
from conpet_lib.learners.replay import Rows
from conpet_lib.models.modules import PetModule
from conpet_lib.streams.stream import Task

FLOOR = -100.0  # the score of labels whose module is not active, as in the official code


def choose_active(scores: Tensor, count: int, true: Tensor | None = None) -> Tensor:
    """`(batch, modules)` bool: the active modules, the `count` best by the selector's scores `(batch, modules)`."""
    ranked = scores.topk(min(count, scores.shape[1]), dim=1).indices  # (batch, k), best first
    if (
        true is not None
    ):  # (batch,) int64; teacher forcing: the true task's module in the place of the last
        missing = (ranked != true[:, None]).all(1)
        ranked[missing, -1] = true[missing]
    return torch.zeros(scores.shape, dtype=torch.bool).scatter(1, ranked, True)


class Selector(Learner):
    """Static ConPET with tasks as labels; with `selector="labels"` labels, whose sum is a task's score."""

    name = "selector"

    def new_labels(self, stage: int) -> list[int]:
        seen = (
            stage
            if self.config.selector == "tasks"
            else int((self.stream.task_of_label < stage).sum())
        )
        return list(
            range(len(self.modules[0].owner), seen)
        )  # its first stage is the second: those of the first too

    def targets(self, rows: Rows) -> Tensor:
        labels, task_of_label = super().targets(rows), torch.from_numpy(self.stream.task_of_label)
        return (
            labels if self.config.selector == "labels" else task_of_label.to(labels.device)[labels]
        )

    def task_scores(self, rows: Rows) -> Tensor:
        """`(rows, tasks)` probabilities of the tasks seen."""
        likely, task_of_label = (
            self.features.scores_of(rows, self.modules[0]).softmax(1),
            self.stream.task_of_label,
        )
        return (
            likely
            if self.config.selector == "tasks"
            else sum_by(likely, task_of_label[: likely.shape[1]])
        )


class DynamicConPET(Learner):
    """A module a task, earlier ones frozen, and a selector. A stage first trains the selector, then the new task's
    module with a softmax over all seen labels: those of active frozen modules have frozen scores, those of inactive
    ones the floor. With a module budget M a task beyond the M-th joins an earlier module; M = 1 is Static ConPET. With
    one active module and teacher forcing a replayed row has its own, frozen one: no gradient; left out (`keep`) it
    changes but the factor of the batch mean. Source: ConPET (arXiv 2309.14763); `our` in the official code."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.selector = Selector(*args, **kwargs)
        self.budget = self.config.modules or len(self.stream)  # the most modules that may be opened
        self.active: dict[
            int, Tensor
        ] = {}  # row -> (modules,) bool, for the rows of the stage in training
        self.means: list[
            Tensor
        ] = []  # `(hidden,)` of each task, as far as `module_for` needed them

    @property
    def parts(self) -> list[Learner]:
        """The selector, then the task modules; one module needs no selector."""
        return [self.selector, self] if self.budget > 1 else [self]

    def fit(self, stage: int) -> None:
        if stage > 1 and self.budget > 1:
            self.selector.fit(stage)  # stage 1 has one task: nothing to select
        super().fit(stage)

    def module_for(self, stage: int) -> int:
        """A new one as long as the budget lasts; then that of the most similar tasks, or each in turn."""
        if stage <= self.budget or self.config.joining == "in turn" or self.budget == 1:
            return (stage - 1) % self.budget
        for task in self.stream[
            len(self.means) : stage
        ]:  # each task's once, so that a stage costs the same
            self.means.append(self.features.features_of(task.train).mean(0))
        *past, new = self.means
        owned = [
            torch.stack(past)[np.equal(self.module_of_task, number)]
            for number in range(len(self.modules))
        ]
        return int(np.argmin([(new - means.mean(0)).norm() for means in owned]))

    def past(self, stage: int) -> list[Task]:
        """Past tasks worth replaying: all if other modules are active too, else those of the stage's own module."""
        every, own = (
            self.config.active > 1 or not self.config.teacher_forcing,
            self.module_of_task[stage - 1],
        )
        return [
            task
            for task, owner in zip(super().past(stage), self.module_of_task)
            if every or owner == own
        ]

    def keep(self, rows: Rows, stage: int) -> Rows:
        """Those with the module in training active; what they need of frozen ones is computed ahead, in full passes."""
        scores, true, owners = (
            torch.zeros(len(rows), len(self.modules)),
            None,
            np.array(self.module_of_task),
        )
        if self.config.teacher_forcing:
            true = torch.from_numpy(
                owners[self.stream.task_of_label[self.stream.label_numbers(rows)]]
            )
        if self.config.active < len(self.modules) and (
            true is None or self.config.active > 1
        ):  # else no choice
            scores = sum_by(self.selector.task_scores(rows), owners)
        active = choose_active(scores, self.config.active, true)
        self.active.update(zip(rows.tolist(), active))
        for number, module in enumerate(self.modules):
            if module is not self.fitting.module and active[:, number].any():
                self.features.frozen_scores(rows[active[:, number].numpy()], module)
        return rows[active[:, self.module_of_task[stage - 1]].numpy()]

    def logits(self, rows: Rows, stage: int) -> Tensor:
        """`(batch, seen_labels)`: gradients in the columns of the module in training, the others frozen."""
        active = torch.stack([self.active[row] for row in rows.tolist()])
        return self.scores_of_active(rows, active, self.fitting.module)

    def scores_of_active(
        self, rows: Rows, active: Tensor, trained: PetModule | None = None
    ) -> Tensor:
        """`(rows, seen_labels)` scores, the floor where a label's module is not `active`, `(rows, modules)` bool."""
        device, features = self.features.backbone.device, self.features
        logits = torch.full(
            (len(rows), sum(len(module.owner) for module in self.modules)), FLOOR, device=device
        )
        for module, mine in zip(self.modules, active.T):
            if mine.any():
                run = (
                    features.scores_of if trained is None else features.frozen_scores
                )  # through the logit cache
                scores = (features.scores if module is trained else run)(
                    rows[mine.numpy()], module
                ).to(device)
                logits[mine.nonzero().to(device), torch.tensor(module.owner, device=device)] = (
                    scores
                )
        return logits

    def answer(self, rows: Rows, known_tasks: Rows | None = None) -> pd.DataFrame:
        """Answers by the selector's choice alone: one selector pass and k module passes, however many tasks."""
        task_scores, active = None, torch.ones(len(rows), len(self.modules), dtype=torch.bool)
        if self.selector.modules:  # not in stage 1, nor with a single module
            task_scores = self.selector.task_scores(rows)
            active = choose_active(
                sum_by(task_scores, np.array(self.module_of_task)), self.config.active
            )
        answers = self.answers(self.scores_of_active(rows, active).cpu(), known_tasks, task_scores)
        if known_tasks is not None:
            # what each row's own module says, also where the selector missed it: a bound, not an answer
            true = nn.functional.one_hot(
                torch.tensor(self.module_of_task)[known_tasks], len(self.modules)
            ).bool()
            answers["true_module_active"] = (active & true).any(1).numpy()
            missed = np.flatnonzero(~answers["true_module_active"])
            own = self.scores_of_active(rows[missed], true[missed]).cpu()
            answers.loc[missed, "within_task"] = self.answers(own, known_tasks[missed])[
                "within_task"
            ].to_numpy()
        return answers
