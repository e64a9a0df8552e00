"""EMR: episodic memory replay, the same loss as Static ConPET over a fixed memory.

Source: Wang et al. 2019 (EA-EMR), the baseline EMR; ConPET's official code, `emr`.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from conpet_lib.core.errors import check
from conpet_lib.core.seeds import numpy_generator
from conpet_lib.learners import settings
from conpet_lib.learners.base import Learner
from conpet_lib.learners.choosing import CHOOSERS
from conpet_lib.learners.replay import Rows
from conpet_lib.learners.static import StaticConfig, StaticConPET
from conpet_lib.streams.stream import Task


class EMR(StaticConPET):
    """As many replayed rows as Static ConPET has, but from a fixed memory.

    `kept["memory"]` has the `(rows,)` training rows that are kept, the most important of a label
    first. A quarter as many validation rows of past labels are used beside them, as in the official
    code (80 and 20 % of a memory).
    """

    def past(self, stage: int) -> list[Task]:
        """The past tasks, with those of their rows that the memory holds.

        Args:
            stage: The stage, from 1.
        """
        memory = self.memory
        task_of_row = self.stream.task_of_label[self.stream.label_numbers(memory)]
        valid_per_label = math.ceil(self.budget(stage) / 4)
        remembered = []
        for number, task in enumerate(self.stream[: stage - 1]):
            rows = memory[task_of_row == number]
            if len(rows):
                valid = self.first_of_each_label(task.valid, valid_per_label)
                remembered.append(replace(task, train=rows, valid=valid))
        return remembered

    balances_head = True  # a memory has fewer rows of old labels

    @property
    def memory(self) -> Rows:
        """`(rows,)` int64, the training rows that are kept."""
        empty = torch.empty(0, dtype=torch.int64)
        rows: Rows = self.kept.get("memory", empty).numpy()
        return rows

    def budget(self, stage: int) -> int:
        """Rows that a label may keep after so many stages, at least one.

        Args:
            stage: The stage, from 1.
        """
        in_all: int | None = self.config.memory_in_all
        if in_all is None:
            return int(self.config.memory)
        labels_seen = int((self.stream.task_of_label < stage).sum())
        return max(1, in_all // labels_seen)

    def first_of_each_label(self, rows: Rows, count: int) -> Rows:
        """The first rows of each label, label by label.

        Args:
            rows: `(rows,)` int64.
            count: Rows of a label, at most.
        """
        numbers = self.stream.label_numbers(rows)
        first = [rows[numbers == number][:count] for number in np.unique(numbers)]
        return np.concatenate([rows[:0], *first])

    def close(self, stage: int) -> None:
        """End a stage, and choose what the memory keeps of it.

        Args:
            stage: The stage, from 1.
        """
        super().close(stage)
        self.remember(stage)

    def remember(self, stage: int) -> None:
        """Choose rows of the new labels; drop the last rows of old labels that are over the budget.

        Args:
            stage: The stage, from 1.
        """
        if self.config.choosing == "reservoir":
            memory = self._reservoir(stage)
        else:
            memory = self._chosen_by_features(stage)
        self.kept["memory"] = torch.from_numpy(memory)

    def _reservoir(self, stage: int) -> Rows:
        """The rows with the smallest of one random number each: equal to Vitter's algorithm R."""
        keys = numpy_generator(self.seed, "reservoir").random(len(self.stream.examples))
        pool = np.concatenate([self.memory, self.stream[stage - 1].train])
        by_key = np.argsort(keys[pool], kind="stable")
        return pool[by_key[: self.config.memory_in_all]]

    def _chosen_by_features(self, stage: int) -> Rows:
        """The old memory within the budget, and the best rows of each new label."""
        budget = self.budget(stage)
        new = self.stream[stage - 1].train
        features = self.features.features_of(new.tolist(), self.modules[0]).numpy()
        numbers = self.stream.label_numbers(new)
        choose = CHOOSERS[self.config.choosing]
        kept = [self.first_of_each_label(self.memory, budget)]
        for number in np.unique(numbers):
            mine = numbers == number
            count = int(min(budget, mine.sum()))
            generator = numpy_generator(self.seed, self.name, "memory", int(number))
            kept.append(new[mine][choose(features[mine], count, generator)])
        return np.concatenate(kept)

    def replayable_rows(self, stage: int) -> int:
        """The rows that the memory will hold when a stage begins.

        Args:
            stage: The stage, from 1.
        """
        return 0 if stage == 1 else self._memory_after(stage - 1)

    def history_rows(self) -> int:
        """The rows that the memory will hold after the last stage."""
        return self._memory_after(len(self.stream))

    def _memory_after(self, stage: int) -> int:
        """The size of the memory after a stage, if all labels have as many rows as it asks."""
        rows = sum(len(task.train) for task in self.stream[:stage])
        labels = int((self.stream.task_of_label < stage).sum())
        return min(rows, self.budget(stage) * labels)

    def extra_passes(self, stage: int, steps: int) -> int:
        """One pass over the new rows, whose features choose the memory.

        Args:
            stage: The stage, from 1.
            steps: Its optimiser steps.
        """
        return len(self.stream[stage - 1].train)


class FullHistory(EMR):
    """What a star means: the same loss, with dynamic replay from the full history.

    The memory is still kept, where a loss needs it; batches are drawn from all past rows.
    """

    def past(self, stage: int) -> list[Task]:
        """All tasks before the stage, with all their rows.

        Args:
            stage: The stage, from 1.
        """
        return StaticConPET.past(self, stage)

    def replayable_rows(self, stage: int) -> int:
        """All training rows of the tasks before a stage.

        Args:
            stage: The stage, from 1.
        """
        return StaticConPET.replayable_rows(self, stage)

    def history_rows(self) -> int:
        """All training rows of the stream."""
        return StaticConPET.history_rows(self)


@dataclass(frozen=True, kw_only=True)
class MemoryConfig(StaticConfig):
    """EMR, and what EA-EMR and CRL share with it: a fixed memory."""

    learner: ClassVar[str] = "emr"
    learner_class: ClassVar[type[Learner]] = EMR
    choosers: ClassVar[tuple[str, ...]] = (*CHOOSERS, "reservoir")

    memory: int = settings.whole(10, "Training rows kept per label.")
    memory_in_all: int | None = settings.whole_or_none(
        None, "Or of all labels together, shared out evenly, at least one each."
    )
    # Or "herding", "random"; for EMR with `memory_in_all` also "reservoir".
    choosing: str = "k-means"

    def __post_init__(self) -> None:
        super().__post_init__()
        known = self.choosing in self.choosers
        if self.choosing == "reservoir" and self.memory_in_all is None:
            known = False  # a reservoir has one size, not one per label
        wanted = "k-means, herding, random; for EMR in all also reservoir"
        check(known, self, "choosing", wanted)
