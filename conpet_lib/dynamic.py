"""Dynamic ConPET: a module a task, and a selector that picks the active ones.

In and out: as `learners`. Overrides `begin` (which module a stage trains), `keep` and `logits` (active modules), and
`answer` (selection). The selector is a Learner whose labels are tasks. Start at `DynamicConPET.logits`.
"""

import numpy as np
import torch
from torch import Tensor

from conpet_lib.config import DynamicConfig
from conpet_lib.learners import Answers, Fitting, Learner, StaticConPET, sum_by
from conpet_lib.replay import Rows
from conpet_lib.tasks import Task

FLOOR = -100.0       # the score of labels whose module is not active, as in the official code


def choose_active(scores: Tensor | None, count: int, modules: int, true: Tensor | None = None) -> Tensor:
    """The active modules of each example.

    Args:
        scores: `(batch, modules)`, the selector's; may be None where they cannot matter.
        count: the number k of active modules; capped at `modules`.
        true: `(batch,)` int64, the true task's module for teacher forcing: it takes the place of the
            k-th where it is not among the k. None at test time.
    Returns: `(batch, modules)` bool.
    """
    batch = len(true) if scores is None else len(scores)
    active = torch.zeros(batch, modules, dtype=torch.bool)
    if true is not None and count == 1:
        return active.scatter(1, true[:, None], True)
    ranked = scores.topk(min(count, modules), dim=1).indices   # (batch, k), best first
    if true is not None:
        missing = (ranked != true[:, None]).all(1)
        ranked[missing, -1] = true[missing]
    return active.scatter(1, ranked, True)


class Selector(StaticConPET):
    """A module that predicts the task of an example, trained like Static ConPET with tasks as labels.

    With `selector="labels"` its head is over all labels, and a task's score is the sum of its labels' probabilities.
    """

    name = "selector"
    config: DynamicConfig

    def begin(self, stage: int) -> Fitting:
        if not self.modules:
            self.modules.append(self.new_module(0))
        seen = (np.arange(stage) if self.config.selector == "tasks"
                else np.flatnonzero(self.stream.task_of_label < stage))
        return self.start(stage, self.modules[0], seen.tolist())

    def targets(self, rows: Rows) -> Tensor:
        labels = self.stream.label_numbers(rows)
        wanted = self.stream.task_of_label[labels] if self.config.selector == "tasks" else labels
        return torch.from_numpy(wanted).to(self.features.backbone.device)

    @torch.no_grad()
    def task_scores(self, rows: Rows) -> Tensor:
        """`(rows, tasks)` probabilities of the tasks seen."""
        likely = self.features.scores_of(rows, self.modules[0]).softmax(1)
        if self.config.selector == "labels":
            likely = sum_by(likely, self.stream.task_of_label[:likely.shape[1]])
        return likely


class DynamicConPET(StaticConPET):
    """Dynamic ConPET: modules of their own for tasks, earlier ones frozen, and a selector.

    A stage first trains the selector, then the new task's module with a softmax over all seen labels:
    labels of active frozen modules have their frozen scores, labels of inactive ones the floor. With
    a module budget M a task beyond the M-th joins a module; M = 1 is Static ConPET.

    With one active module and teacher forcing a replayed row's only active module is its own frozen one,
    so it gives the new module no gradient: such rows are left out (`keep`), which changes the result
    by no more than the factor of the batch mean.
    Source: ConPET (arXiv 2309.14763), Dynamic ConPET; the official code's `our` method.
    """

    config: DynamicConfig

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.selector = Selector(*args, **kwargs)
        self.budget = self.config.modules or len(self.stream)       # the most modules that may be opened
        self.chosen: dict[int, Tensor] = {}      # row -> (modules,) selector scores, within one stage
        self.means: list[Tensor] = []            # `(hidden,)` of each task, as far as `join` needed them

    @property
    def parts(self) -> list[Learner]:
        """The selector, then the task modules; one module needs no selector."""
        return [self.selector, self] if self.budget > 1 else [self]

    def fit(self, stage: int) -> None:
        self.chosen.clear()
        if stage > 1 and self.budget > 1:
            self.selector.fit(stage)             # stage 1 has one task: nothing to select
        super().fit(stage)

    def begin(self, stage: int) -> Fitting:
        if len(self.modules) < min(stage, self.budget):
            number = len(self.modules)
            self.modules.append(self.new_module(number))
        else:
            number = self.join(stage)
        self.module_of_task.append(number)
        return self.start(stage, self.modules[number], self.new_labels(stage))

    def join(self, stage: int) -> int:
        """The module that the new task joins: that of the most similar tasks, or each in turn."""
        if self.config.joining == "in turn" or len(self.modules) == 1:
            return (stage - 1) % len(self.modules)
        for task in self.stream[len(self.means):stage]:        # each task's once, so that a stage costs the same
            self.means.append(self.features.features_of(task.train).mean(0))
        owned = [[mean for mean, owner in zip(self.means, self.module_of_task) if owner == number]
                 for number in range(len(self.modules))]
        return int(np.argmin([(self.means[-1] - torch.stack(means).mean(0)).norm() for means in owned]))

    def past(self, stage: int) -> list[Task]:
        """Past tasks worth replaying: all if other modules are active too, else those of the stage's own module."""
        if self.config.active > 1 or not self.config.teacher_forcing:
            return super().past(stage)
        own = self.module_of_task[stage - 1]
        return [task for task, owner in zip(self.stream[:stage - 1], self.module_of_task) if owner == own]

    def prepare(self, rows: Rows, stage: int) -> None:
        """Also the selector's choice and the scores of active frozen modules, in passes that are full."""
        super().prepare(rows, stage)
        active = self.active(rows, stage).numpy()
        for number, module in enumerate(self.modules):
            if number != self.module_of_task[stage - 1] and active[:, number].any():
                self.features.frozen_scores(rows[active[:, number]], module)

    # --- selection -----------------------------------------------------------------------------

    def module_scores(self, rows: Rows) -> Tensor:
        """`(rows, modules)`: the selector's probability of each module, the sum over its tasks.

        The selector is frozen while a module trains, so a row's scores are computed once a stage.
        """
        fresh = np.array([row for row in np.unique(rows) if row not in self.chosen], dtype=np.int64)
        if len(fresh):
            scores = sum_by(self.selector.task_scores(fresh), np.array(self.module_of_task))
            self.chosen.update(zip(fresh.tolist(), scores))
        return torch.stack([self.chosen[int(row)] for row in rows])

    def active(self, rows: Rows, stage: int) -> Tensor:
        """`(rows, modules)` bool: the active modules in training, with teacher forcing if it is on."""
        true = None
        if self.config.teacher_forcing:
            tasks = self.stream.task_of_label[self.stream.label_numbers(rows)]
            true = torch.from_numpy(np.array(self.module_of_task)[tasks])
        if len(self.modules) <= self.config.active:
            return torch.ones(len(rows), len(self.modules), dtype=torch.bool)
        needless = self.config.active == 1 and true is not None      # the true one is the only one
        return choose_active(None if needless else self.module_scores(rows), self.config.active, len(self.modules),
                             true)

    def keep(self, rows: Rows, stage: int) -> Rows:
        """The rows for which the module in training is active; no other gives it a gradient."""
        return rows[self.active(rows, stage)[:, self.module_of_task[stage - 1]].numpy()] if len(rows) else rows

    def logits(self, rows: Rows, stage: int) -> Tensor:
        """`(batch, seen_labels)`: gradients in the columns of the module in training, the others frozen."""
        return self.scores_of_active(rows, self.active(rows, stage), self.module_of_task[stage - 1])

    def scores_of_active(self, rows: Rows, active: Tensor, trained: int | None = None) -> Tensor:
        """`(rows, seen_labels)` scores, the floor for labels of modules that are not active: those are not run.

        Args: active: `(rows, modules)` bool. trained: the module in training, which gets gradients; the others then
            go through the logit cache.
        """
        device, features = self.features.backbone.device, self.features
        logits = torch.full((len(rows), sum(len(module.owner) for module in self.modules)), FLOOR, device=device)
        for number, module in enumerate(self.modules):
            places = torch.nonzero(active[:, number]).squeeze(1)
            if len(places):
                run = (features.scores_of if trained is None else features.scores if number == trained else
                       features.frozen_scores)
                columns = torch.tensor(module.owner, device=device)
                logits[places[:, None].to(device), columns] = run(rows[places.numpy()], module).to(device)
        return logits

    # --- answers -------------------------------------------------------------------------------

    @torch.no_grad()
    def answer(self, rows: Rows, known_tasks: np.ndarray | None = None) -> Answers:
        """Answers by the selector's choice alone: one selector pass and k module passes, however many tasks."""
        stage = len(self.module_of_task)
        if stage == 1 or self.budget == 1:
            task_scores, active = None, torch.ones(len(rows), len(self.modules), dtype=torch.bool)
        else:
            task_scores = self.selector.task_scores(rows)
            scores = sum_by(task_scores, np.array(self.module_of_task))        # (rows, modules)
            active = choose_active(scores, self.config.active, len(self.modules))
        answers = self.answers(self.scores_of_active(rows, active).cpu(), known_tasks, task_scores)
        if known_tasks is not None:
            # what each row's own module says, also where the selector missed it: a bound, not an answer
            true = torch.from_numpy(np.array(self.module_of_task)[known_tasks])
            answers.reached = active[torch.arange(len(rows)), true].numpy()
            missed = np.flatnonzero(~answers.reached)
            if len(missed):
                only = choose_active(None, 1, len(self.modules), true[missed])
                own = self.scores_of_active(rows[missed], only).cpu()
                answers.within[missed] = self.answers(own, known_tasks[missed]).within
        return answers
