"""Bounds: the learners between which every other one should end.

Vanilla and full tuning without replay are the lower bounds, training on all tasks at once is the
upper one. Start at `Vanilla`.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from conpet_lib.core.seeds import numpy_generator
from conpet_lib.learners import settings
from conpet_lib.learners.base import Learner
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.learners.fitting import Fitting
from conpet_lib.learners.replay import Rows, dynamic_replay
from conpet_lib.learners.static import HistoryConfig, StaticConfig, StaticConPET


class Vanilla(Learner):
    """No replay: a stage sees its own task alone. The lower bound of every plot."""


class Joint(StaticConPET):
    """At stage k a new module is trained on all k tasks at once, with k times the batches.

    The upper bound: nothing can be forgotten, and it costs k times as much.
    """

    def begin(self, stage: int) -> Fitting:
        """A stage that starts over, with no module of an earlier one.

        Args:
            stage: The stage, from 1.
        """
        self.modules = []
        self.module_of_task = [0] * (stage - 1)
        return super().begin(stage)

    def new_labels(self, stage: int) -> list[int]:
        """The label numbers of all tasks seen: the module is new to all of them.

        Args:
            stage: The stage, from 1.
        """
        return [int(number) for number in np.flatnonzero(self.stream.task_of_label < stage)]

    def batches(self, stage: int, epoch: int) -> list[Rows]:
        """The batches of an epoch over the union of all tasks seen.

        Args:
            stage: The stage, from 1.
            epoch: The epoch, from 0.

        Returns:
            Row arrays `(batch,)` int64.
        """
        union = np.concatenate([task.train for task in self.stream[:stage]])
        limit = self.config.limit(stage)
        return dynamic_replay(
            union,
            [],
            self.config.batch_size,
            1.0,
            None if limit is None else limit * stage,
            numpy_generator(self.seed, self.name, "batches", stage, epoch),
        )

    def batches_per_epoch(self, stage: int) -> int:
        """The batch limit times the number of the stage.

        Args:
            stage: The stage, from 1.
        """
        batches = super().batches_per_epoch(stage)
        if self.config.limit(stage) is None:
            return batches  # a pass over all rows seen is as long as it is
        return batches * stage


@dataclass(frozen=True, kw_only=True)
class VanillaConfig(LearnerConfig):
    """Sequential tuning without replay."""

    learner: ClassVar[str] = "vanilla"
    learner_class: ClassVar[type[Learner]] = Vanilla


@dataclass(frozen=True, kw_only=True)
class FullConfig(VanillaConfig):
    """Sequential tuning of all weights, without replay."""

    learner: ClassVar[str] = "full"

    tunes: str = settings.one_of(("all",), "Every weight of the backbone.")


@dataclass(frozen=True, kw_only=True)
class FullReplayConfig(StaticConfig):
    """Tuning of all weights, with dynamic replay."""

    learner: ClassVar[str] = "full-replay"

    tunes: str = settings.one_of(("all",), "Every weight of the backbone.")


@dataclass(frozen=True, kw_only=True)
class JointConfig(HistoryConfig, VanillaConfig):
    """Training on all tasks seen at once."""

    learner: ClassVar[str] = "joint"
    learner_class: ClassVar[type[Learner]] = Joint
