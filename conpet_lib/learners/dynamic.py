"""Dynamic ConPET: one module per task, and a selector that picks the active ones.

Source: ConPET (arXiv 2309.14763), Dynamic ConPET; `our` in the official code. Start at
`DynamicConPET.logits`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from conpet_lib.core.errors import check
from conpet_lib.learners import settings
from conpet_lib.learners.answers import answer_table, sum_by
from conpet_lib.learners.base import Learner
from conpet_lib.learners.dynamic_plan import DynamicPlan
from conpet_lib.learners.exact import ExactSelector
from conpet_lib.learners.fitting import Step, say_nothing
from conpet_lib.learners.replay import Rows
from conpet_lib.learners.selector import Selector, choose_active
from conpet_lib.learners.static import StaticConfig
from conpet_lib.models.features import Features
from conpet_lib.models.modules import PetModule
from conpet_lib.streams.stream import Stream, Task

SELECTORS: dict[str, type[Selector] | type[ExactSelector]] = {
    "tasks": Selector,
    "labels": Selector,
    "solved": Selector,
    "exact": ExactSelector,
}
FLOOR = -100.0  # the score of labels whose module is not active, as in the official code


class DynamicConPET(DynamicPlan):
    """One module per task, earlier ones frozen, and a selector.

    A stage first trains the selector, then the new task's module with a softmax over all seen
    labels: those of active frozen modules have frozen scores, those of inactive ones the floor.
    With a module budget M a task beyond the M-th joins an earlier module; M = 1 is Static ConPET.
    With one active module and teacher forcing a replayed row has its own, frozen one and gives no
    gradient; leaving it out changes nothing but the factor of the batch mean.

    Attributes:
        selector: A learner of its own, whose labels are tasks.
        budget: The most modules that may be opened.
        means: `(hidden,)` of each task, as far as `module_for` needed them.
    """

    def __init__(
        self,
        stream: Stream,
        features: Features,
        config: Any,
        seed: int,
        tell: Callable[[Step], None] = say_nothing,
    ):
        super().__init__(stream, features, config, seed, tell)
        self.selector = SELECTORS[self.config.selector](stream, features, config, seed, tell)
        self.selector.kept = self.kept  # an exact selector's sums are written with the run
        self.selector.task_modules = self.modules  # one list: what is opened here is seen there
        self.budget = self.config.modules or len(self.stream)
        self.means: list[Tensor] = []

    @property
    def parts(self) -> dict[str, Learner]:
        """The selector, then the task modules, unless it reads one; one module needs none."""
        if self.budget == 1:
            return {self.name: self}
        both: dict[str, Learner] = {self.selector.name: self.selector, self.name: self}
        if self.selector.reads_module:
            return dict(reversed(both.items()))
        return both

    def fit(self, stage: int) -> None:
        """Train the selector, then the module; in stage 1 there is nothing to select.

        A selector that reads the first task's module comes after it.

        Args:
            stage: The stage, from 1.
        """
        selects = stage >= self.selector.first_stage and self.budget > 1
        if selects and not self.selector.reads_module:
            self.selector.fit(stage)
        super().fit(stage)
        if selects and self.selector.reads_module:
            self.selector.fit(stage)

    def fill(self, rows: Rows, stage: int) -> None:
        """Compute what the caches lack of some rows.

        Args:
            rows: `(rows,)` int64.
            stage: The stage, from 1.
        """
        if self.selector.reads_states and self.selector.modules:
            self.selector.fill(rows, stage)  # gives the prefix of a row as well
        super().fill(rows, stage)

    def module_for(self, stage: int) -> int:
        """A new one as long as the budget lasts; then that of the most similar tasks, or in turn.

        Args:
            stage: The stage, from 1.
        """
        in_turn = self.config.joining == "in turn"
        if stage <= self.budget or in_turn or self.budget == 1:
            return (stage - 1) % self.budget
        return self._most_similar(stage)

    def _most_similar(self, stage: int) -> int:
        """The module whose tasks' mean feature is nearest to that of the new task."""
        # Each task's mean is taken once, so that a stage costs the same whatever its number.
        for task in self.stream[len(self.means) : stage]:
            self.means.append(self.features.features_of(task.train.tolist()).mean(0))
        *past, new = self.means
        distances = []
        for number in range(len(self.modules)):
            owned = torch.stack(past)[np.equal(self.module_of_task, number)]
            distances.append((new - owned.mean(0)).norm())
        return int(np.argmin(distances))

    def past(self, stage: int) -> list[Task]:
        """Past tasks worth replaying: those of its own module; all if others are active, too.

        Args:
            stage: The stage, from 1.
        """
        past = super().past(stage)
        if self.config.active > 1 or not self.config.teacher_forcing:
            return past
        own = self.module_of_task[stage - 1]
        return [task for task, module in zip(past, self.module_of_task) if module == own]

    def prepare(self, rows: Rows, stage: int) -> Tensor:
        """The active modules of a stage's rows; frozen scores are computed ahead, in full passes.

        Args:
            rows: `(rows,)` int64, the stage's distinct training and validation rows.
            stage: The stage, from 1.

        Returns:
            `(rows, modules)` bool.
        """
        module_of_task = np.array(self.module_of_task)
        true = None
        if self.config.teacher_forcing:
            task_of_row = self.stream.task_of_label[self.stream.label_numbers(rows)]
            true = torch.from_numpy(module_of_task[task_of_row])
        scores = torch.zeros(len(rows), len(self.modules))
        decided = true is not None and self.config.active == 1
        if self.config.active < len(self.modules) and not decided:
            scores = sum_by(self.selector.task_scores(rows), module_of_task)
        active = choose_active(scores, self.config.active, true)
        trained = self.working.module
        for module, is_active in zip(self.modules, active.T):
            if module is not trained and is_active.any():
                self.features.frozen_scores(rows[is_active.numpy()].tolist(), module)
        return active

    def logits(self, rows: Rows, stage: int) -> Tensor:
        """Gradients in the columns of the module in training, the others frozen.

        Args:
            rows: `(batch,)` int64.
            stage: The stage, from 1.

        Returns:
            `(batch, seen_labels)`.
        """
        fitting = self.working
        active = torch.stack([fitting.active[row] for row in rows.tolist()])
        return self.scores_of_active(rows, active, fitting.module)

    def scores_of_active(
        self, rows: Rows, active: Tensor, trained: PetModule | None = None
    ) -> Tensor:
        """Scores of active modules, and the floor where a label's module is not active.

        Args:
            rows: `(rows,)` int64.
            active: `(rows, modules)` bool.
            trained: The module in training, whose scores have gradients; None to answer.

        Returns:
            `(rows, seen_labels)`.
        """
        device = self.features.backbone.device
        seen_labels = sum(len(module.owner) for module in self.modules)
        logits = torch.full((len(rows), seen_labels), FLOOR, device=device)
        for module, is_active in zip(self.modules, active.T):
            if not is_active.any():
                continue
            own_rows = rows[is_active.numpy()].tolist()
            if module is trained:
                scores = self.features.scores(own_rows, module)
            else:
                scores = self.features.frozen_scores(own_rows, module)
            columns = torch.tensor(module.owner, device=device)
            logits[is_active.nonzero().to(device), columns] = scores.to(device)
        return logits

    def answer(self, rows: Rows, known_tasks: Rows | None = None) -> pd.DataFrame:
        """Answers by the selector's choice alone.

        It takes one selector pass and k module passes, however many tasks there are.

        Args:
            rows: `(rows,)` int64.
            known_tasks: `(rows,)` the true tasks, from 0, only for the last two columns.

        Returns:
            The table that `answer_table` describes.
        """
        task_scores = None
        active = torch.ones(len(rows), len(self.modules), dtype=torch.bool)
        if self.selector.modules:  # not in stage 1, nor with a single module
            task_scores = self.selector.task_scores(rows)
            module_scores = sum_by(task_scores, np.array(self.module_of_task))
            active = choose_active(module_scores, self.config.active)
        logits = self.scores_of_active(rows, active).cpu()
        answers = answer_table(self.stream, self.module_of_task, logits, known_tasks, task_scores)
        if known_tasks is not None:
            self._add_bound(answers, rows, known_tasks, active)
        return answers

    def _add_bound(
        self, answers: pd.DataFrame, rows: Rows, known_tasks: Rows, active: Tensor
    ) -> None:
        """Say what each row's own module answers, also where the selector missed it: a bound."""
        true_module = torch.tensor(self.module_of_task)[known_tasks]
        is_true = nn.functional.one_hot(true_module, len(self.modules)).bool()
        answers["true_module_active"] = (active & is_true).any(1).numpy()
        missed = np.flatnonzero(~answers["true_module_active"])
        logits = self.scores_of_active(rows[missed], is_true[missed]).cpu()
        own = answer_table(self.stream, self.module_of_task, logits, known_tasks[missed])
        answers.loc[missed, "within_task"] = own["within_task"].to_numpy()


@dataclass(frozen=True, kw_only=True)
class DynamicConfig(StaticConfig):
    """Dynamic ConPET: task modules and a selector."""

    learner: ClassVar[str] = "dynamic"
    learner_class: ClassVar[type[Learner]] = DynamicConPET

    head: str = settings.one_of(
        ("trained",), "Each module trains its own; see selector for the choice between them."
    )
    head_layers: int | None = settings.setting(
        None, "None: task modules read no frozen layers.", lambda layers: layers is None, "None"
    )
    active: int = settings.whole(
        1, "Modules that answer an example, chosen by the selector (the paper: 1)."
    )
    modules: int | None = settings.whole_or_none(None, "Module budget; None: one for each task.")
    joining: str = settings.one_of(
        ("similar", "in turn"),
        "The budget spent, a task joins the most similar module, or each in turn.",
    )
    teacher_forcing: bool = True  # in training the true task's module is always active
    selector: str = settings.one_of(
        ("tasks", "labels", "solved", "exact"),
        "Trained on tasks (the paper) or on labels; trained, and its head then solved over the "
        "history; or exact: solved, and nothing is trained or replayed.",
    )
    joined_layers: int | None = settings.whole_or_none(
        4, "The last frozen layers that an exact selector reads; None: the first task's module."
    )
    balance: bool = False  # whether labels, and not rows, weigh alike in an exact selector

    def __post_init__(self) -> None:
        super().__post_init__()
        is_exact = self.selector == "exact"
        check(is_exact or not self.balance, self, "balance", "False, if the selector is trained")
        stays = self.modules is None and self.active == 1 and self.teacher_forcing
        wanted = (
            "a number, unless modules is None, active is 1 and teacher_forcing is on: else the "
            "first task's module sees other tasks, or is needed before it is trained"
        )
        alone = not is_exact or self.joined_layers is not None or stays
        check(alone, self, "joined_layers", wanted)
