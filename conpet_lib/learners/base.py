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

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.seeds import numpy_generator
from conpet_lib.learners.config import VanillaConfig
from conpet_lib.learners.replay import Rows, dynamic_replay, spread
from conpet_lib.models.features import Features
from conpet_lib.models.modules import PetModule, WholeModule
from conpet_lib.streams.stream import Stream, Task


@dataclass(frozen=True)
class Step:
    """What a learner tells while it works: where it is."""

    stage: int
    stages: int
    doing: str  # "prefix", "selector" or "module"
    done: int  # of `total`: prompts, or optimiser steps of the stage
    total: int
    loss: float | None = None


@dataclass
class Fitting:
    """The state of a stage in training, kept until all parts of the learner are trained and written."""

    stage: int
    module: PetModule
    optimiser: torch.optim.Optimizer
    step: int = 0  # optimiser steps done
    best_score: tuple[float, float] | None = None  # (accuracy, minus loss) on the validation rows
    best: dict[str, Tensor] = field(default_factory=dict)  # the weights that had it
    drawn: Rows | None = None  # the training rows, in all their repeats


class Learner:
    """Static ConPET: one module whose head grows, trained stage by stage with dynamic replay from the full history.
    Attributes: modules: all that were made. module_of_task: the number of each task's. ledger: what `fit` did, a dict a
        stage. kept: tensors that a method keeps from stage to stage beside its modules, such as the rows of a memory.
        fitting: the stage in training; a `Checkpoint` puts it where an earlier process left it.
    Source: ConPET (arXiv 2309.14763), Static ConPET; it is the official code's EMR with dynamic replay."""

    name = "module"

    def __init__(
        self,
        stream: Stream,
        features: Features,
        config: VanillaConfig,
        seed: int,
        tell: Callable[[Step], None] = lambda step: None,
    ):
        self.stream, self.features, self.config, self.seed, self.tell = (
            stream,
            features,
            config,
            seed,
            tell,
        )
        self.modules, self.module_of_task, self.ledger, self.kept = [], [], [], {}
        self.fitting: Fitting | None = None

    @property
    def parts(self) -> list["Learner"]:
        """The learners that train in a stage, in that order: this one alone."""
        return [self]

    def fit(self, stage: int) -> None:
        """Train stage `stage`, from 1; goes on where a checkpoint has begun it."""
        if self.fitting is None or self.fitting.stage != stage:
            self.fitting = self.begin(stage)
        fitting, valid = self.fitting, self.valid_rows(stage)
        batches = [
            rows for epoch in range(self.config.epochs) for rows in self.batches(stage, epoch)
        ]
        fitting.drawn = np.concatenate(batches)
        distinct = np.unique(np.concatenate([fitting.drawn, valid]))
        self.fill(distinct, stage)
        kept = self.keep(distinct, stage)
        batches, valid = (
            [rows[np.isin(rows, kept)] for rows in batches],
            valid[np.isin(valid, kept)],
        )
        for step, rows in enumerate(batches[fitting.step :], fitting.step + 1):
            loss = self.train_on(rows, fitting)
            fitting.step = step
            if step % (len(batches) // self.config.epochs) == 0:  # an epoch ends
                score = self.score(valid, stage)
                if fitting.best_score is None or score > fitting.best_score or not len(valid):
                    fitting.best_score = score
                    fitting.best = {
                        name: weight.clone() for name, weight in fitting.module.state_dict().items()
                    }
            self.tell(Step(stage, len(self.stream), self.name, step, len(batches), loss))
        self.close(stage)
        self.ledger.append(
            {
                "stage": stage,
                "steps": sum(len(rows) > 0 for rows in batches),
                "rows": len(fitting.drawn),
                "distinct_rows": len(np.unique(fitting.drawn)),
                "rows_with_gradient": sum(map(len, batches)),
                "best_valid_accuracy": fitting.best_score[0],
            }
        )

    def begin(self, stage: int) -> Fitting:
        number, config = self.module_for(stage), self.config
        self.module_of_task.append(number)
        if number == len(self.modules):
            self.modules.append(self.new_module(number))
        module = self.modules[number].requires_grad_(True)
        module.grow(self.new_labels(stage))
        return Fitting(
            stage,
            module,
            torch.optim.AdamW(  # fused: of all weights, its step is a third of the time
                module.parameters(),
                lr=config.rate(stage),
                eps=config.epsilon,
                weight_decay=config.weight_decay,
                fused=module.whole or None,
            ),
        )

    def module_for(self, stage: int) -> int:
        """The number of the module that the stage trains: the only one. The next free number opens a new module."""
        return 0

    def new_module(self, number: int) -> PetModule:
        """A module on the tuned layers, its start drawn from the run's seed and its number."""
        config, backbone, names = self.config, self.features.backbone, (self.name, number)
        if config.tunes == "all":
            return WholeModule(backbone, self.seed, *names)
        return PetModule(
            backbone, backbone.lora(config.rank, config.alpha, config.targets), self.seed, *names
        )

    def new_labels(self, stage: int) -> list[int]:
        return np.flatnonzero(self.stream.task_of_label == stage - 1).tolist()

    def batches(self, stage: int, epoch: int) -> list[Rows]:
        """The epoch's batches under dynamic replay, as many in every epoch."""
        return dynamic_replay(
            self.stream[stage - 1].train,
            [task.train for task in self.past(stage)],
            self.config.batch_size,
            self.config.new_share if stage > 1 else 1.0,
            self.config.limit(stage),
            numpy_generator(self.seed, self.name, "batches", stage, epoch),
        )

    def past(self, stage: int) -> list[Task]:
        return list(self.stream[: stage - 1])

    def valid_rows(self, stage: int) -> Rows:
        """The stage's fixed validation rows: half of the new task, half spread over the past ones."""
        generator, count = (
            numpy_generator(self.seed, self.name, "validation", stage),
            self.config.valid_examples,
        )
        return np.concatenate(
            [
                spread([self.stream[stage - 1].valid], count - count // 2, generator),
                spread([task.valid for task in self.past(stage)], count // 2, generator),
            ]
        )

    def fill(self, rows: Rows, stage: int) -> None:
        self.features.fill(
            [] if self.modules[-1].whole else rows,
            lambda done, total: self.tell(Step(stage, len(self.stream), "prefix", done, total)),
        )

    def keep(self, rows: Rows, stage: int) -> Rows:
        """Those of the stage's distinct rows that give a gradient: all. What they need may be computed ahead here."""
        return rows

    def train_on(self, rows: Rows, fitting: Fitting) -> float | None:
        """One optimiser step; returns the loss (None if no row gives a gradient)."""
        if not len(rows):
            return None
        loss = self.loss(rows, fitting.stage)
        fitting.optimiser.zero_grad()
        loss.backward()
        fitting.optimiser.step()
        value = loss.item()
        if not np.isfinite(value):
            raise ConpetError(
                f"The loss of stage {fitting.stage} became {value} in step {fitting.step + 1}. Probably "
                f"learning_rate={self.config.learning_rate} or alpha={self.config.alpha} is too high."
            )
        return value

    def loss(self, rows: Rows, stage: int) -> Tensor:
        """Mean cross entropy of a batch over all seen labels, in nats."""
        return nn.functional.cross_entropy(self.logits(rows, stage), self.targets(rows))

    def logits(self, rows: Rows, stage: int) -> Tensor:
        return self.features.scores(rows, self.modules[0])

    def targets(self, rows: Rows) -> Tensor:
        return torch.from_numpy(self.stream.label_numbers(rows)).to(self.features.backbone.device)

    @torch.no_grad()
    def score(self, rows: Rows, stage: int) -> tuple[float, float]:
        """(accuracy, minus cross entropy) on validation rows; the higher, the better."""
        if not len(rows):
            return 0.0, 0.0
        parts, targets = np.split(rows, range(64, len(rows), 64)), self.targets(rows)
        logits = torch.cat([self.logits(part, stage) for part in parts])
        return (logits.argmax(1) == targets).float().mean().item(), -nn.functional.cross_entropy(
            logits, targets
        ).item()

    def close(self, stage: int) -> None:
        self.fitting.module.requires_grad_(False).load_state_dict(self.fitting.best)

    def answer(self, rows: Rows, known_tasks: Rows | None = None) -> pd.DataFrame:
        """Answers to rows among all labels seen.
        Args: known_tasks: `(rows,)` the true tasks, from 0, only for the last two columns; they never change an answer.
        Returns: predicted (the label), module (that gave it), confidence (the label's probability), margin (to the
            second most probable), chosen_task, from 1 (the most probable, to the selector if there is one),
            task_confidence (its probability), ranking (all tasks, the most probable first), within_task (what the true
            task's labels alone would give: the bound of a perfect choice of task), true_module_active."""
        return self.answers(self.features.scores_of(rows, self.modules[0]), known_tasks)

    def answers(
        self, logits: Tensor, known_tasks: Rows | None, task_scores: Tensor | None = None
    ) -> pd.DataFrame:
        """The table of `answer` from `(rows, seen_labels)` logits and, of a selector, `(rows, tasks)` probabilities."""
        task_of_label, names = (
            self.stream.task_of_label[: logits.shape[1]],
            np.array(self.stream.labels, dtype=object),
        )
        likely, label = logits.softmax(1), logits.argmax(1).numpy()
        task_scores = sum_by(likely, task_of_label) if task_scores is None else task_scores
        best = (
            nn.functional.pad(likely, (0, 1)).topk(2).values.numpy()
        )  # (rows, 2), also of a single label
        ranking = task_scores.argsort(dim=1, descending=True, stable=True).numpy() + 1
        table = pd.DataFrame(
            {
                "predicted": names[label],
                "module": np.array(self.module_of_task)[task_of_label[label]],
                "chosen_task": ranking[:, 0],
                "confidence": best[:, 0],
                "margin": best[:, 0] - best[:, 1],
                "task_confidence": task_scores.max(1).values.numpy(),
                "ranking": ranking.tolist(),
            }
        )
        if known_tasks is not None:
            others = torch.from_numpy(task_of_label[None] != known_tasks[:, None])
            table["within_task"] = names[logits.masked_fill(others, -torch.inf).argmax(1).numpy()]
            table["true_module_active"] = True
        return table


def sum_by(scores: Tensor, group: np.ndarray) -> Tensor:
    """Sum columns by group: `(rows, columns)` and `(columns,)` group numbers to `(rows, groups)`."""
    return torch.zeros(len(scores), int(group.max()) + 1).index_add_(
        1, torch.from_numpy(group), scores
    )
