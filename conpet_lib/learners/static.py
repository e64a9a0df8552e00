"""Static ConPET: one module, with dynamic replay from the full history.

Source: ConPET (arXiv 2309.14763), Static ConPET; it is the official code's EMR with dynamic replay.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from conpet_lib.core.errors import check
from conpet_lib.core.seeds import numpy_generator
from conpet_lib.learners import settings
from conpet_lib.learners.base import Learner
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.learners.exact_head import ExactHead, best_solution
from conpet_lib.learners.fitting import Fitting, StagePlan, Step
from conpet_lib.learners.replay import Rows, spread
from conpet_lib.models.modules import PetModule
from conpet_lib.streams.stream import Task

TRAINED = "trained."  # before the names of the head's weights in `kept`


class StaticConPET(Learner):
    """One module whose head grows; half of each batch is replayed from all that was seen.

    With `head="exact"` the head is solved after a stage's training, over rows of all labels, under
    the module as it then is. `kept` has the head that was trained, with which the next stage goes
    on.
    """

    balances_head = False  # rows weigh alike in an exact head, and not labels

    def begin(self, stage: int) -> Fitting:
        """A stage that goes on with the head that was trained, if an exact one answers.

        Args:
            stage: The stage, from 1.
        """
        for name in ("head", "bias"):
            if self.solves_head and self.modules and TRAINED + name in self.kept:
                weight = getattr(self.modules[0], name)
                weight.data = self.kept[TRAINED + name].to(weight)
        return super().begin(stage)

    def close(self, stage: int) -> None:
        """End a stage, and solve the head if it is to be exact.

        Args:
            stage: The stage, from 1.
        """
        super().close(stage)
        if self.solves_head:
            self.solve_head(stage)

    def solve_head(self, stage: int) -> None:
        """Put the exact head in the place of the one that was trained.

        Args:
            stage: The stage, from 1.
        """
        module = self.working.module
        rows = self.head_history(stage)
        self.fill(rows, stage)
        features = self.head_features(rows, module)
        head = ExactHead(features.shape[1])
        head.add(features, self.targets(rows).cpu(), balance=self.balances_head)
        valid = self.valid_rows(stage)
        features = self.head_features(valid, module)
        solution, _ = best_solution(head, features, self.targets(valid).cpu())
        for name, solved in (("head", solution.weight), ("bias", solution.bias)):
            weight = getattr(module, name)
            self.kept[TRAINED + name] = weight.detach().cpu().clone()
            weight.data = solved.to(weight)
        self.tell(Step(stage, len(self.stream), "head", 1, 1))

    def head_features(self, rows: Rows, module: PetModule) -> Tensor:
        """What the head reads: the module's feature, and frozen layers beside it.

        Args:
            rows: `(rows,)` int64.
            module: Its weights are used.

        Returns:
            `(rows, hidden * (1 + head_layers))`, on the CPU.
        """
        feature = self.features.features_of(rows, module)
        layers = self.layers_beside()
        if not layers:
            return feature
        return torch.cat([feature, self.features.joined_of(rows, layers)], dim=1)

    def fill(self, rows: Rows, stage: int) -> None:
        """Compute what the caches lack of some rows.

        Args:
            rows: `(rows,)` int64.
            stage: The stage, from 1.
        """
        if self.layers_beside():  # one pass gives states and prefix

            def on_group(done: int, total: int) -> None:
                self.tell(Step(stage, len(self.stream), "prefix", done, total))

            self.features.joined_of(rows, self.layers_beside(), on_group)
        super().fill(rows, stage)

    def layers_beside(self) -> int:
        """How many frozen layers an exact head reads beside the module: no more than run."""
        if not self.solves_head:
            return 0
        return min(self.config.head_layers or 0, self.features.backbone.exit_layer)

    @property
    def solves_head(self) -> bool:
        """Whether an exact head answers."""
        return isinstance(self.config, HistoryConfig) and self.config.head == "exact"

    @torch.no_grad()
    def scores_of(self, rows: Rows) -> Tensor:
        """Scores without gradients, `(rows, seen_labels)`, on the CPU.

        Args:
            rows: `(rows,)` int64.
        """
        if not self.layers_beside():
            return super().scores_of(rows)
        module = self.modules[0]
        return module.scores(self.head_features(rows, module).to(module.head)).float().cpu()

    def head_history(self, stage: int) -> Rows:
        """The rows on which an exact head is solved: those seen, or as many of each label.

        Args:
            stage: The stage, from 1.

        Returns:
            `(rows,)` int64; if `head_rows` is a number at most as many, but one of each label.
        """
        tasks = [*self.past(stage), self.stream[stage - 1]]
        rows = np.concatenate([task.train for task in tasks])
        if self.config.head_rows is None:
            return rows
        numbers = self.stream.label_numbers(rows)
        by_label = [rows[numbers == number] for number in np.unique(numbers)]
        generator = numpy_generator(self.seed, self.name, "head", stage)
        return spread(by_label, max(len(by_label), self.config.head_rows), generator)

    def past(self, stage: int) -> list[Task]:
        """All tasks before the stage.

        Args:
            stage: The stage, from 1.
        """
        return list(self.stream[: stage - 1])

    def new_share(self, stage: int) -> float:
        """The part of a batch that comes from the new task; all of it where there is no past.

        Args:
            stage: The stage, from 1.
        """
        if stage == 1:
            return 1.0
        return float(self.config.new_share)

    def replayable_rows(self, stage: int) -> int:
        """All training rows of the tasks before a stage.

        Args:
            stage: The stage, from 1.
        """
        return sum(len(task.train) for task in self.stream[: stage - 1])

    def history_rows(self) -> int:
        """All training rows of the stream."""
        return sum(len(task.train) for task in self.stream)

    def head_width(self) -> int:
        """Numbers of a feature that the head reads in the end."""
        hidden = super().head_width()
        return hidden * (1 + self.layers_beside())

    def plan(self, stage: int) -> dict[str, StagePlan]:
        """What will be done in a stage; an exact head needs a pass over the rows it is solved on.

        Args:
            stage: The stage, from 1.
        """
        plans = super().plan(stage)
        if not self.solves_head:
            return plans
        solved = self.replayable_rows(stage) + len(self.stream[stage - 1].train)
        solved = min(solved, self.config.head_rows or solved)
        own = plans[self.name]
        passes = own.passes + solved + int(self.config.valid_examples)
        return {**plans, self.name: replace(own, passes=passes, solved=solved)}

    def solved_width(self) -> int:
        """Numbers of a feature that an exact head reads; 0 without one."""
        return self.head_width() if self.solves_head else 0

    def states_width(self) -> int:
        """Numbers of the frozen layers that an exact head reads beside the module."""
        return int(self.features.backbone.hidden_size) * self.layers_beside()


@dataclass(frozen=True, kw_only=True)
class HistoryConfig(LearnerConfig):
    """What learners share that read rows of earlier tasks again."""

    head: str = settings.one_of(
        ("trained", "exact"), "Exact: it is solved over the history after a stage's training."
    )
    head_rows: int | None = settings.whole_or_none(
        None, "Rows on which an exact head is solved, evenly over the labels; None: all."
    )
    head_layers: int | None = settings.whole_or_none(
        None, "The last frozen layers that an exact head reads beside the module; None: none."
    )

    @property
    def solves(self) -> bool:
        """Whether a head is solved over the history."""
        return self.head == "exact" or getattr(self, "selector", None) == "solved"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("head_rows", "head_layers"):
            used = self.solves or getattr(self, name) is None
            check(used, self, name, "None, unless a head is solved (head='exact')")


@dataclass(frozen=True, kw_only=True)
class StaticConfig(HistoryConfig):
    """Static ConPET: one module, dynamic replay."""

    learner: ClassVar[str] = "static"
    learner_class: ClassVar[type[Learner]] = StaticConPET

    new_share: float = settings.share(0.5, "Part of a batch that comes from the new task.")
