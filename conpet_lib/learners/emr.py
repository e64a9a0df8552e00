"""Family: the learners that ConPET is compared with, each an overridden step or two of `Learner`.
In and out: as `learners`. Loss and replay are independent: a name with a star has the same loss over the full history.
May import `learners`. Knows nothing of folders or plots. Start at `EMR`."""

from dataclasses import replace

import numpy as np
import torch

from conpet_lib.core.seeds import numpy_generator
from conpet_lib.learners.base import Learner
from conpet_lib.learners.choosing import CHOOSERS
from conpet_lib.learners.replay import Rows
from conpet_lib.streams.stream import Task


class EMR(Learner):
    """Episodic memory replay: the same loss and number of replayed rows as Static ConPET, but from a fixed memory.
    `kept["memory"]`: `(rows,)` the kept training rows, the most important of a label first. A quarter as many
    validation rows of past labels are used beside them, as in the official code (80 and 20 % of a memory).
    Source: Wang et al. 2019 (EA-EMR), the baseline EMR; ConPET's official code, `emr`."""

    def past(self, stage: int) -> list[Task]:
        """The past tasks: with a star all rows of their history, else those in the memory."""
        if self.config.learner.endswith("*"):
            return super().past(stage)
        owner, few = (
            self.stream.task_of_label[self.stream.label_numbers(self.memory)],
            -(-self.budget(stage) // 4),
        )
        return [
            replace(
                task,
                train=self.memory[owner == place],
                valid=self.first_of_each_label(task.valid, few),
            )
            for place, task in enumerate(self.stream[: stage - 1])
            if (owner == place).any()
        ]

    @property
    def memory(self) -> Rows:
        return self.kept.get("memory", torch.empty(0, dtype=torch.int64)).numpy()

    def budget(self, stage: int) -> int:
        """Rows that a label may keep after so many stages, at least one."""
        seen, in_all = int((self.stream.task_of_label < stage).sum()), self.config.memory_in_all
        return self.config.memory if in_all is None else max(1, in_all // seen)

    def first_of_each_label(self, rows: Rows, count: int) -> Rows:
        numbers = self.stream.label_numbers(rows)
        return np.concatenate(
            [rows[:0], *(rows[numbers == number][:count] for number in np.unique(numbers))]
        )

    def close(self, stage: int) -> None:
        super().close(stage)
        self.remember(stage)

    def remember(self, stage: int) -> None:
        """Choose rows of the new labels by their features; drop the last of old labels that are over the budget."""
        config, budget, old, new = (
            self.config,
            self.budget(stage),
            self.memory,
            self.stream[stage - 1].train,
        )
        if (
            config.choosing == "reservoir"
        ):  # the smallest of one random number a row: equal to Vitter's algorithm R
            keys = numpy_generator(self.seed, "reservoir").random(len(self.stream.examples))
            pool = np.concatenate([old, new])
            memory = pool[np.argsort(keys[pool], kind="stable")[: config.memory_in_all]]
        else:
            features, numbers = (
                self.features.features_of(new, self.modules[0]).numpy(),
                self.stream.label_numbers(new),
            )
            choose, memory = CHOOSERS[config.choosing], self.first_of_each_label(old, budget)
            for number in np.unique(numbers):
                mine, generator = (
                    numbers == number,
                    numpy_generator(self.seed, self.name, "memory", int(number)),
                )
                memory = np.concatenate(
                    [memory, new[mine][choose(features[mine], min(budget, mine.sum()), generator)]]
                )
        self.kept["memory"] = torch.from_numpy(memory)
