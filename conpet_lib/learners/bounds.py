"""Learners: how a stage is trained. `Learner` is Static ConPET; a method overrides one or two of its steps.
In: a stream, its features, a config, a seed. Out: trained modules and answers to rows. May import `features`,
`modules`, `replay`, `config`. Knows nothing of folders, runs or plots. Start at `Learner.fit`.

    fit(stage)               the same for every learner
      begin(stage)           a module, grown by new_labels(stage), a fresh optimiser   <- Selector, Joint, LwF, CRL
        module_for(stage)    which module: a new one, or one to go on with             <- Dynamic
      batches(stage, epoch)  which rows, in which order                                <- Joint
        past(stage)          the tasks that may be replayed                            <- Vanilla, Dynamic, EMR
      keep(rows, stage)      which of them give a gradient                             <- Dynamic
      loss(rows, stage)      scalar, in nats                                           <- EWC, LwF, CRL
        logits(rows, stage)  (batch, seen_labels)                                      <- Dynamic
        targets(rows)        (batch,) int64, the right columns                         <- Selector
      close(stage)           put the best weights back, freeze                         <- EMR, EA-EMR, EWC"""

import numpy as np

from conpet_lib.core.seeds import numpy_generator
from conpet_lib.learners.base import Fitting, Learner
from conpet_lib.learners.replay import Rows, dynamic_replay
from conpet_lib.streams.stream import Task


class Vanilla(Learner):
    """No replay: a stage sees its own task alone. The lower bound of every plot."""

    def past(self, stage: int) -> list[Task]:
        return []


class Joint(Learner):
    """At stage k a new module is trained on all k tasks at once, with k times the batches: the upper bound."""

    def begin(self, stage: int) -> Fitting:
        self.modules, self.module_of_task = [], [0] * (stage - 1)
        return super().begin(stage)

    def new_labels(self, stage: int) -> list[int]:
        return np.flatnonzero(self.stream.task_of_label < stage).tolist()

    def batches(self, stage: int, epoch: int) -> list[Rows]:
        union, limit = (
            np.concatenate([task.train for task in self.stream[:stage]]),
            self.config.limit(stage),
        )
        return dynamic_replay(
            union,
            [],
            self.config.batch_size,
            1.0,
            limit and limit * stage,
            numpy_generator(self.seed, self.name, "batches", stage, epoch),
        )
