"""Learner: how a stage is trained, the same for every method except for the steps it overrides.

In: a stream, its features, a configuration, a seed. Out: trained modules, and answers to rows. May
import `streams` and `models`. Knows nothing of folders, runs or plots. Start at `Learner.fit`.

    fit(stage)               the same for every learner
      begin(stage)           a module, grown by new_labels(stage), an optimiser  <- Joint, LwF, CRL
        module_for(stage)    which module: a new one, or one to go on with       <- Dynamic
        new_module(number)   how a module starts                                 <- Linear
      batches(stage, epoch)  which rows, in which order                          <- Joint
        past(stage)          the tasks that may be replayed                      <- Static, EMR
        new_share(stage)     the part of a batch that is new                     <- Static
      prepare(rows, stage)   which modules are active for each row               <- Dynamic
      loss(rows, stage)      scalar, in nats                                     <- EWC, LwF, CRL
        logits(rows, stage)  (batch, seen_labels)                                <- Dynamic
        targets(rows)        (batch,) int64, the right columns                   <- Selector
      close(stage)           put the best weights back, freeze                   <- EMR, EA-EMR, EWC
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from conpet_lib.core.ranks import Ranks
from conpet_lib.core.seeds import numpy_generator
from conpet_lib.learners.answers import answer_table
from conpet_lib.learners.fitting import Fitting, Step, checked_loss, optimiser_of, say_nothing
from conpet_lib.learners.planning import Planned
from conpet_lib.learners.replay import Rows, dynamic_replay, validation_rows
from conpet_lib.models.features import INFERENCE_ROWS, Features
from conpet_lib.models.modules import PetModule, WholeModule
from conpet_lib.streams.stream import Stream, Task


class Learner(Planned):
    """One module whose head grows, trained stage by stage on the new task alone.

    A method overrides one or two steps of `fit`; without an override nothing is replayed.

    Args:
        stream: The tasks in their order.
        features: Of the stream's examples.
        config: The settings; its class names this class as its learner.
        seed: Every random choice is drawn from it and a name.
        tell: Called with a `Step` after each step.

    Attributes:
        modules: All modules that were made.
        module_of_task: The number of each task's module.
        ledger: What `fit` did, a dict per stage.
        kept: Tensors that a method keeps beside its modules, such as the rows of a memory.
        fitting: The stage in training; a checkpoint puts it where an earlier process left it.
    """

    name = "module"
    ranks = Ranks()  # of the processes that train this run together
    loss_is_a_mean = True  # over rows, so that processes can share them out

    def __init__(
        self,
        stream: Stream,
        features: Features,
        config: Any,
        seed: int,
        tell: Callable[[Step], None] = say_nothing,
    ):
        self.stream = stream
        self.features = features
        self.config = config
        self.seed = seed
        self.tell = tell
        self.modules: list[PetModule] = []
        self.module_of_task: list[int] = []
        self.ledger: list[dict[str, Any]] = []
        self.kept: dict[str, Tensor] = {}
        self.fitting: Fitting | None = None

    @property
    def parts(self) -> dict[str, "Learner"]:
        """The learners that train in a stage, by name, in the order in which they train."""
        return {self.name: self}

    def fit(self, stage: int) -> None:
        """Train a stage; goes on where a checkpoint has begun it.

        Args:
            stage: The stage, from 1.
        """
        if self.fitting is None or self.fitting.stage != stage:
            self.fitting = self.begin(stage)
        fitting = self.fitting
        valid = self.valid_rows(stage)
        drawn = [rows for epoch in range(self.config.epochs) for rows in self.batches(stage, epoch)]
        fitting.drawn = np.concatenate(drawn)
        distinct = np.unique(np.concatenate([fitting.drawn, valid]))
        self.fill(distinct, stage)
        trained = self.take_in(distinct, stage)
        batches = [rows[np.isin(rows, trained)] for rows in drawn]
        with self.features.held(trained, fitting.module):
            self._take_steps(batches, valid[np.isin(valid, trained)])
        self.close(stage)
        self.ledger.append(fitting.summary(batches))

    def _take_steps(self, batches: list[Rows], valid: Rows) -> None:
        """Train on the batches that are left, and validate whenever an epoch ends."""
        fitting = self.working
        batches_per_epoch = len(batches) // self.config.epochs
        for step, rows in enumerate(batches[fitting.step :], fitting.step + 1):
            loss = self.train_on(rows, fitting)
            fitting.step = step
            if step % batches_per_epoch == 0:
                fitting.keep_if_better(self.score(valid, fitting.stage), len(valid) > 0)
            self.tell(Step(fitting.stage, len(self.stream), self.name, step, len(batches), loss))

    @property
    def working(self) -> Fitting:
        """The stage in training; there must be one."""
        assert self.fitting is not None
        return self.fitting

    def begin(self, stage: int) -> Fitting:
        """A stage that is about to be trained: its module, grown and free, with a fresh optimiser.

        Args:
            stage: The stage, from 1.
        """
        number = self.module_for(stage)
        self.module_of_task.append(number)
        if number == len(self.modules):
            self.modules.append(self.new_module(number))
        module = self.modules[number].requires_grad_(True)
        module.grow(self.new_labels(stage))
        optimiser = optimiser_of(module, self.config, stage)
        return Fitting(stage, module, optimiser)

    def module_for(self, stage: int) -> int:
        """The number of the module that a stage trains: the only one, 0.

        Args:
            stage: The stage, from 1.

        Returns:
            A number of `modules`; the next free number opens a new module.
        """
        return 0

    def new_module(self, number: int) -> PetModule:
        """A module on the tuned layers, its start drawn from the run's seed.

        Args:
            number: Its place in `modules`.
        """
        backbone = self.features.backbone
        if self.config.tunes == "all":
            return WholeModule(backbone, self.seed, self.name, number)
        config = self.config
        pet = backbone.pet(config.pet, config.rank, config.alpha, config.targets)
        return PetModule(backbone, pet, self.seed, self.name, number)

    def new_labels(self, stage: int) -> list[int]:
        """The label numbers that a stage adds to the head.

        Args:
            stage: The stage, from 1.
        """
        return [int(number) for number in np.flatnonzero(self.stream.task_of_label == stage - 1)]

    def batches(self, stage: int, epoch: int) -> list[Rows]:
        """The batches of an epoch under dynamic replay, as many in every epoch.

        Args:
            stage: The stage, from 1.
            epoch: The epoch, from 0.

        Returns:
            Row arrays `(batch,)` int64.
        """
        generator = numpy_generator(self.seed, self.name, "batches", stage, epoch)
        return dynamic_replay(
            self.stream[stage - 1].train,
            [task.train for task in self.past(stage)],
            self.config.batch_size,
            self.new_share(stage),
            self.config.limit(stage),
            generator,
        )

    def past(self, stage: int) -> list[Task]:
        """The tasks that may be replayed in a stage: none.

        Args:
            stage: The stage, from 1.
        """
        return []

    def new_share(self, stage: int) -> float:
        """The part of a batch that comes from the new task: all of it.

        Args:
            stage: The stage, from 1.
        """
        return 1.0

    def valid_rows(self, stage: int) -> Rows:
        """The stage's fixed validation rows: half of the new task, half spread over the past ones.

        Args:
            stage: The stage, from 1.

        Returns:
            `(rows,)` int64, at most `valid_examples`.
        """
        return validation_rows(
            self.stream[stage - 1].valid,
            [task.valid for task in self.past(stage)],
            self.config.valid_examples,
            numpy_generator(self.seed, self.name, "validation", stage),
        )

    def fill(self, rows: Rows, stage: int) -> None:
        """Compute what the prefix cache lacks of some rows.

        Args:
            rows: `(rows,)` int64.
            stage: The stage, from 1.
        """
        if self.modules[-1].whole:
            return  # with every weight in training there is no frozen prefix

        def on_group(done: int, total: int) -> None:
            self.tell(Step(stage, len(self.stream), "prefix", done, total))

        self.features.fill(self.ranks.share(rows).tolist(), on_group)
        self.ranks.wait()

    def take_in(self, rows: Rows, stage: int) -> Rows:
        """Prepare rows of the stage in training; those that give its module a gradient.

        Args:
            rows: `(rows,)` int64.
            stage: The stage, from 1.
        """
        active = self.prepare(rows, stage)
        return self.working.take_in(rows, active, self.module_of_task[-1])

    def prepare(self, rows: Rows, stage: int) -> Tensor:
        """Which modules are active for each row of a stage, all: there is one. May fill caches.

        Args:
            rows: `(rows,)` int64, the stage's distinct training and validation rows.
            stage: The stage, from 1.

        Returns:
            `(rows, modules)` bool.
        """
        return torch.ones(len(rows), len(self.modules), dtype=torch.bool)

    def train_on(self, rows: Rows, fitting: Fitting) -> float | None:
        """Take one optimiser step.

        Args:
            rows: `(batch,)` int64, perhaps none.
            fitting: The stage in training.

        Returns:
            The loss, in nats; None where no row gives a gradient, or nobody looked at it.

        Raises:
            ConpetError: If the loss is no number any more.
        """
        if not len(rows):
            return None
        loss = fitting.take_step(lambda own: self.loss(own, fitting.stage), rows, self.ranks)
        return checked_loss(loss, fitting, self.config)

    def loss(self, rows: Rows, stage: int) -> Tensor:
        """Mean cross entropy of a batch over all seen labels, in nats.

        Args:
            rows: `(batch,)` int64.
            stage: The stage, from 1.
        """
        return nn.functional.cross_entropy(self.logits(rows, stage), self.targets(rows))

    def logits(self, rows: Rows, stage: int) -> Tensor:
        """`(batch, seen_labels)` scores with gradients.

        Args:
            rows: `(batch,)` int64.
            stage: The stage, from 1.
        """
        return self.features.scores(rows.tolist(), self.modules[0])

    def targets(self, rows: Rows) -> Tensor:
        """`(batch,)` int64: the right column of each row's logits.

        Args:
            rows: `(batch,)` int64.
        """
        return torch.from_numpy(self.stream.label_numbers(rows)).to(self.features.backbone.device)

    @torch.no_grad()
    def score(self, rows: Rows, stage: int) -> tuple[float, float]:
        """(accuracy, minus cross entropy) on validation rows; the higher, the better.

        Args:
            rows: `(rows,)` int64.
            stage: The stage, from 1.
        """
        if not len(rows):
            return 0.0, 0.0
        passes = np.split(rows, range(INFERENCE_ROWS, len(rows), INFERENCE_ROWS))
        logits = torch.cat([self.logits(part, stage) for part in passes])
        targets = self.targets(rows)
        accuracy = (logits.argmax(1) == targets).float().mean().item()
        return accuracy, -nn.functional.cross_entropy(logits, targets).item()

    def close(self, stage: int) -> None:
        """End a stage: put the best weights back, and freeze them.

        Args:
            stage: The stage, from 1.
        """
        fitting = self.working
        fitting.module.requires_grad_(False).load_state_dict(fitting.best)

    def answer(self, rows: Rows, known_tasks: Rows | None = None) -> pd.DataFrame:
        """Answers to rows among all labels seen.

        Args:
            rows: `(rows,)` int64.
            known_tasks: `(rows,)` the true tasks, from 0, only for the last two columns; they never
                change an answer.

        Returns:
            The table that `answer_table` describes.
        """
        return answer_table(self.stream, self.module_of_task, self.scores_of(rows), known_tasks)

    def scores_of(self, rows: Rows) -> Tensor:
        """Scores without gradients, `(rows, seen_labels)`, on the CPU.

        Args:
            rows: `(rows,)` int64.
        """
        return self.features.scores_of(rows.tolist(), self.modules[0])
