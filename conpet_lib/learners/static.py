"""Static ConPET: one module, with dynamic replay from the full history.

Source: ConPET (arXiv 2309.14763), Static ConPET; it is the official code's EMR with dynamic replay.
"""

from dataclasses import dataclass
from typing import ClassVar

from conpet_lib.learners import settings
from conpet_lib.learners.base import Learner
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.streams.stream import Task


class StaticConPET(Learner):
    """One module whose head grows; half of each batch is replayed from all that was seen."""

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


@dataclass(frozen=True, kw_only=True)
class StaticConfig(LearnerConfig):
    """Static ConPET: one module, dynamic replay."""

    learner: ClassVar[str] = "static"
    learner_class: ClassVar[type[Learner]] = StaticConPET

    new_share: float = settings.share(0.5, "Part of a batch that comes from the new task.")
