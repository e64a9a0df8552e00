"""Exact: learners whose head is solved and not trained, on features of the backbone as it is.

A stage costs one pass over the new rows, takes no step, and reads no row of an earlier task. Start
at `Ridge`.

Source: Zhuang et al. 2022 (ACIL); McDonnell et al. 2023 (RanPAC).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from conpet_lib.core.seeds import numpy_generator, torch_generator
from conpet_lib.learners import settings
from conpet_lib.learners.answers import sum_by
from conpet_lib.learners.base import Learner
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.learners.exact_head import ExactHead, best_solution
from conpet_lib.learners.fitting import Fitting, StagePlan, Step
from conpet_lib.learners.replay import Rows
from conpet_lib.models.modules import PetModule


class Ridge(Learner):
    """Ridge regression of one-hot labels on the frozen backbone's last layers, side by side.

    `kept` has the head's sums, and the features of a few validation rows, on which the strength and
    the temperature are chosen after each stage: at most `valid_examples`, evenly over the labels,
    but one of each.
    """

    def features_for(self, rows: Rows) -> Tensor:
        """What the head reads, `(rows, width)`.

        Args:
            rows: `(rows,)` int64.
        """
        return self.features.joined_of(rows.tolist(), self.layers())

    def layers(self) -> int:
        """How many layers are read: no more than run."""
        backbone = self.features.backbone
        return min(int(self.config.joined_layers), backbone.exit_layer)

    def head_width(self) -> int:
        """Numbers of a feature that the head reads."""
        hidden: int = self.features.backbone.hidden_size
        return hidden * self.layers()

    def new_module(self, number: int) -> PetModule:
        """A head alone.

        Args:
            number: Its place in `modules`.
        """
        backbone = self.features.backbone
        return PetModule(backbone, None, self.seed, self.name, number, width=self.head_width())

    def begin(self, stage: int) -> Fitting:
        """A stage whose head is solved: the new rows are seen, and that is all.

        Args:
            stage: The stage, from 1.
        """
        fitting = super().begin(stage)
        task = self.stream[stage - 1]
        head = self._kept_head()
        balance = bool(self.config.balance)
        head.add(self._told(task.train, stage), self._labels(task.train), balance)
        self.kept["gram"] = head.gram
        self.kept["targets"] = head.targets
        self._told(task.valid, stage)
        self.keep_valid(task.valid)
        self.solve()
        return fitting

    def solve(self) -> None:
        """Put the solution of the sums that are kept into the head."""
        features, labels = self._valid()
        last = int(self.kept.get("exponent", torch.tensor(-2)))
        solution, exponent = best_solution(self._kept_head(), features, labels, last)
        self.kept["exponent"] = torch.tensor(exponent)
        module = self.modules[0]
        module.head.data = solution.weight.to(module.head)
        module.bias.data = solution.bias.to(module.bias)
        stage = len(self.module_of_task)
        self.tell(Step(stage, len(self.stream), "head", 1, 1))

    def kept_without(self, task: int) -> dict[str, Tensor]:
        """What is kept, as if a task had never been seen; its training rows are read once more.

        Args:
            task: The task, from 1.
        """
        rows = self.stream[task - 1].train
        head = self._kept_head()
        head.remove(self.features_for(rows), self._labels(rows), bool(self.config.balance))
        stays = torch.from_numpy(self.stream.task_of_label != task - 1)
        new_number = stays.cumsum(0) - 1  # by the old number of a label
        features, labels = self._valid()
        return {
            "gram": head.gram,
            "targets": head.targets[:, stays],
            "valid_features": features[stays[labels]],
            "valid_labels": new_number[labels[stays[labels]]],
            "exponent": self.kept["exponent"],
        }

    def _told(self, rows: Rows, stage: int) -> Tensor:
        """Features of rows, while it is told how many are done."""

        def on_group(done: int, total: int) -> None:
            self.tell(Step(stage, len(self.stream), "prefix", done, total))

        self.features.joined_of(rows.tolist(), self.layers(), on_group)
        return self.features_for(rows)

    def _labels(self, rows: Rows) -> Tensor:
        """The right columns of rows, on the CPU."""
        return self.targets(rows).cpu()

    def _kept_head(self) -> ExactHead:
        """The head as the last stage left it."""
        head = ExactHead(self.head_width())
        head.gram = self.kept.get("gram", head.gram)
        head.targets = self.kept.get("targets", head.targets)
        return head

    def _valid(self) -> tuple[Tensor, Tensor]:
        """Features and labels of the validation rows that are kept."""
        none = torch.zeros(0, self.head_width()), torch.zeros(0, dtype=torch.int64)
        return self.kept.get("valid_features", none[0]), self.kept.get("valid_labels", none[1])

    def keep_valid(self, rows: Rows) -> None:
        """Keep features of a task's validation rows, and fewer of each earlier label.

        Args:
            rows: `(rows,)` int64.
        """
        # A number for each row of the corpus: what is kept does not depend on the tasks' order.
        keys = numpy_generator(self.seed, self.name, "validation").random(len(self.stream.examples))
        rows = rows[np.argsort(keys[rows], kind="stable")]
        features, labels = self._valid()
        features = torch.cat([features, self.features_for(rows)])
        labels = torch.cat([labels, self._labels(rows)])
        seen = sorted(set(labels.tolist()))
        per_label = max(1, int(self.config.valid_examples) // max(1, len(seen)))
        places = [(labels == label).nonzero()[:per_label, 0] for label in seen]
        stay = torch.cat([labels[:0], *places])
        self.kept["valid_features"] = features[stay]
        self.kept["valid_labels"] = labels[stay]

    def valid_rows(self, stage: int) -> Rows:
        """None: there are no epochs to choose from.

        Args:
            stage: The stage, from 1.
        """
        return self.stream[stage - 1].valid[:0]

    def batches(self, stage: int, epoch: int) -> list[Rows]:
        """One batch without a row: no step is taken.

        Args:
            stage: The stage, from 1.
            epoch: The epoch, from 0.
        """
        return [self.stream[stage - 1].train[:0]]

    def score(self, rows: Rows, stage: int) -> tuple[float, float]:
        """(accuracy, minus cross entropy) on the validation rows that are kept.

        Args:
            rows: Not used: they are kept as features.
            stage: The stage, from 1.
        """
        features, labels = self._valid()
        if not len(labels):
            return 0.0, 0.0
        scores = self._scores(features)
        accuracy = (scores.argmax(1) == labels).float().mean().item()
        return accuracy, -nn.functional.cross_entropy(scores, labels).item()

    def fill(self, rows: Rows, stage: int) -> None:
        """Compute what the state cache lacks of some rows.

        Args:
            rows: `(rows,)` int64.
            stage: The stage, from 1.
        """
        self._told(rows, stage)

    def scores_of(self, rows: Rows) -> Tensor:
        """Scores, `(rows, seen_labels)`, on the CPU.

        Args:
            rows: `(rows,)` int64.
        """
        return self._scores(self.features_for(rows))

    @torch.no_grad()
    def _scores(self, features: Tensor) -> Tensor:
        """Scores of features."""
        module = self.modules[0]
        return module.scores(features.to(module.head)).float().cpu()

    # --- what a run will cost ---------------------------------------------------------------------

    def adapter_size(self) -> int:
        """No weight beside the head."""
        return 0

    def sums_bytes(self) -> int:
        """Those of `gram` and `targets`, in double precision."""
        width = self.head_width() + 1
        return 8 * width * (width + self.head_labels())

    def plan(self, stage: int) -> dict[str, StagePlan]:
        """One pass over the new rows, and no step.

        Args:
            stage: The stage, from 1.
        """
        task = self.stream[stage - 1]
        passes = len(task.train) + len(task.valid)
        return {self.name: StagePlan(0, 0, passes, solved=len(task.train))}

    def solved_width(self) -> int:
        """Numbers of a feature that the head reads."""
        return self.head_width()

    def states_width(self) -> int:
        """Numbers of the layers that are read."""
        return int(self.features.backbone.hidden_size) * self.layers()


class RanPAC(Ridge):
    """The same on a random projection of the features, cut off at zero.

    Source: McDonnell et al. 2023, equation 5.
    """

    def head_width(self) -> int:
        """Numbers of a projected feature."""
        return int(self.config.projection)

    def features_for(self, rows: Rows) -> Tensor:
        """Projected features, `(rows, projection)`, none below zero.

        Args:
            rows: `(rows,)` int64.
        """
        features = super().features_for(rows)
        size = (features.shape[1], self.head_width())
        generator = torch_generator(self.seed, self.name, "projection")
        projection = torch.randn(size, generator=generator) / features.shape[1] ** 0.5
        projected: Tensor = features @ projection
        return projected.relu()


class ExactSelector(Ridge):
    """The selector of Dynamic ConPET as an exact head: a task's score is that of its labels."""

    name = "selector"
    on_labels = True
    first_stage = 1
    task_modules: list[PetModule]

    @property
    def reads_module(self) -> bool:
        """Whether it reads the features under the module of the first task, which is frozen."""
        return self.config.joined_layers is None

    def states_width(self) -> int:
        """Numbers of the layers that are read; 0 where the first task's module is."""
        return super().states_width() if self.reads_states else 0

    @property
    def reads_states(self) -> bool:
        """Whether it reads states of frozen layers."""
        return not self.reads_module

    def head_width(self) -> int:
        """Numbers of a feature that the head reads."""
        if self.reads_module:
            return int(self.features.backbone.hidden_size)
        return super().head_width()

    def features_for(self, rows: Rows) -> Tensor:
        """What the head reads, `(rows, width)`.

        Args:
            rows: `(rows,)` int64.
        """
        if self.reads_module:
            return self.features.features_of(rows, self.task_modules[0])
        return super().features_for(rows)

    def _told(self, rows: Rows, stage: int) -> Tensor:
        """Features of rows, while it is told how many prefixes are done."""
        if self.reads_module:
            Learner.fill(self, rows, stage)
            return self.features_for(rows)
        return super()._told(rows, stage)

    def task_scores(self, rows: Rows) -> Tensor:
        """`(rows, tasks)` probabilities of the tasks seen.

        Args:
            rows: `(rows,)` int64.
        """
        likely = self.scores_of(rows).softmax(1)
        return sum_by(likely, self.stream.task_of_label[: likely.shape[1]])


@dataclass(frozen=True, kw_only=True)
class RidgeConfig(LearnerConfig):
    """An exact head on the frozen backbone's last layers."""

    learner: ClassVar[str] = "ridge"
    learner_class: ClassVar[type[Learner]] = Ridge

    tunes: str = settings.one_of(("module",), "A head alone: no layer is tuned.")
    joined_layers: int = settings.whole(
        4, "The last layers of the frozen backbone that the head reads, side by side."
    )
    balance: bool = False  # whether labels weigh alike, and not rows


@dataclass(frozen=True, kw_only=True)
class RanPACConfig(RidgeConfig):
    """An exact head on a random projection of the frozen backbone's last layers."""

    learner: ClassVar[str] = "ranpac"
    learner_class: ClassVar[type[Learner]] = RanPAC

    projection: int = settings.whole(2000, "Numbers of a projected feature.")
