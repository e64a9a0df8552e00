"""Learners: how a stage is trained. A method overrides one or two steps of `Learner`.

In: a stream, its features, a config, a seed. Out: trained modules and answers to rows. May import `features`,
`modules`, `replay`, `config`. Knows nothing of folders, runs or plots. Start at `Learner.fit`.

    fit(stage)               the same for every learner
      begin(stage)           open or go on with a module       <- Dynamic, Selector
      prepare(rows, stage)   compute ahead                     <- Dynamic
      past, new_share        what is replayed, how much        <- Vanilla, Dynamic
      batches(stage, epoch)  which rows, in which order
      keep(rows, stage)      which of them give a gradient     <- Dynamic
      logits(rows, stage)    (batch, seen_labels)              <- Dynamic
      targets(rows)          (batch,) the right columns        <- Selector
      loss(logits, targets)  scalar, in nats
      close(stage)           put the best weights back, freeze

Dynamic's selector is itself a Learner whose labels are tasks.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from conpet_lib.config import StaticConfig, VanillaConfig
from conpet_lib.errors import ConpetError
from conpet_lib.features import Features
from conpet_lib.modules import PetModule
from conpet_lib.replay import Rows, dynamic_replay, spread
from conpet_lib.seeds import numpy_generator
from conpet_lib.tasks import Stream, Task


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a learner tells while it works: where it is, in optimiser steps of the whole run."""

    stage: int
    stages: int
    doing: str              # "prefix", "selector" or "module"
    done: int               # of `total`: prompts or optimiser steps
    total: int
    loss: float | None = None


@dataclass
class Fitting:
    """The state of a stage in training."""

    stage: int
    module: PetModule
    optimiser: torch.optim.Optimizer
    epoch: int = 0
    step: int = 0
    best_score: tuple[float, float] | None = None        # (accuracy, minus loss) on the validation rows
    best: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Answers:
    """A learner's answers to rows; every array but `ranking` is `(rows,)`."""

    label: np.ndarray           # predicted label number
    module: np.ndarray          # the module that gave it
    task: np.ndarray            # the task chosen: the selector's first choice, or the predicted label's task
    confidence: np.ndarray      # probability of the predicted label
    margin: np.ndarray          # its distance to the second most probable label
    task_confidence: np.ndarray # probability of the chosen task
    ranking: np.ndarray         # (rows, tasks): tasks, the most probable first
    within: np.ndarray          # what the true task's labels alone would give: the bound of a perfect choice of task
    reached: np.ndarray         # whether the true task's module was among the active ones


class Learner:
    """One module whose head grows, trained stage by stage with dynamic replay.

    Attributes:
        modules: all modules, in the order of their making.
        module_of_task: the module of each task seen.
        drawn: stage -> Counter of training rows drawn in it.
        ledger: one dict a stage: steps, rows, rows with a gradient, distinct rows.
        fitting: the stage in training, kept until all its parts are trained and written.
        resume: called with each `Fitting` that begins; `checkpoints` puts it where an earlier process left it.
    """

    name = "module"

    def __init__(self, stream: Stream, features: Features, config: VanillaConfig, seed: int,
                 tell: Callable[[Step], None] = lambda step: None):
        self.stream, self.features, self.config, self.seed, self.tell = stream, features, config, seed, tell
        self.modules: list[PetModule] = []
        self.module_of_task: list[int] = []
        self.drawn: dict[int, Counter] = {}
        self.ledger: list[dict] = []
        self.fitting: Fitting | None = None
        self.resume: Callable[[Fitting], None] = lambda fitting: None

    @property
    def parts(self) -> list["Learner"]:
        """The learners that train in a stage, in that order: this one alone."""
        return [self]

    # --- the training of a stage -------------------------------------------------------------

    def fit(self, stage: int) -> None:
        """Train stage `stage`, from 1."""
        fitting = self.fitting = self.begin(stage)
        self.resume(fitting)
        self.prepare(self.draws(stage), stage)
        total = sum(len(self.batches(stage, epoch)) for epoch in range(self.config.epochs))
        valid = self.keep(self.valid_rows(stage), stage)
        while fitting.epoch < self.config.epochs:
            batches = self.batches(stage, fitting.epoch)
            while fitting.step < len(batches):
                loss = self.train_on(self.keep(batches[fitting.step], stage), fitting)
                fitting.step += 1
                self.tell(Step(stage=stage, stages=len(self.stream), doing=self.name, total=total,
                               done=fitting.epoch * len(batches) + fitting.step, loss=loss))
            score = self.score(valid, stage)
            if fitting.best_score is None or score > fitting.best_score or not len(valid):
                fitting.best_score = score
                fitting.best = {name: weight.clone() for name, weight in fitting.module.state_dict().items()}
            fitting.epoch, fitting.step = fitting.epoch + 1, 0
        self.close(stage)

    def begin(self, stage: int) -> Fitting:
        """Open the stage: the module grows by the new labels and gets a fresh optimiser."""
        if not self.modules:
            self.modules.append(self.new_module(0))
        if len(self.module_of_task) < stage:
            self.module_of_task.append(0)
        return self.start(stage, self.modules[0], self.new_labels(stage))

    def new_module(self, number: int) -> PetModule:
        """A module on the tuned layers, its start drawn from the run's seed and its number."""
        config = self.features.backbone.lora(self.config.rank, self.config.alpha, self.config.targets)
        return PetModule(self.features.backbone, config, self.seed, self.name, number)

    def new_labels(self, stage: int) -> list[int]:
        """The label numbers that the stage brings."""
        return np.flatnonzero(self.stream.task_of_label == stage - 1).tolist()

    def start(self, stage: int, module: PetModule, new_labels: list[int]) -> Fitting:
        """A `Fitting` at step 0 of a module that gets `new_labels`."""
        module.grow([label for label in new_labels if label not in module.owner])
        module.requires_grad_(True)
        config = self.config
        return Fitting(stage, module, torch.optim.AdamW(module.parameters(), lr=config.rate(stage), eps=config.epsilon,
                                                        weight_decay=config.weight_decay))

    def batches(self, stage: int, epoch: int) -> list[Rows]:
        """The epoch's batches under dynamic replay; the same at every call."""
        return dynamic_replay(self.stream[stage - 1].train, [task.train for task in self.past(stage)],
                              self.config.batch_size, self.new_share(stage), self.config.limit(stage),
                              self.generator("batches", stage, epoch))

    def new_share(self, stage: int) -> float:
        """The part of a batch that comes from the new task."""
        return self.config.new_share if stage > 1 else 1.0

    def past(self, stage: int) -> list[Task]:
        """The past tasks that may be replayed: all of them."""
        return list(self.stream[:stage - 1])

    def valid_rows(self, stage: int) -> Rows:
        """The stage's fixed validation rows: half of the new task, half spread over the past ones."""
        generator, count = self.generator("validation", stage), self.config.valid_examples
        return np.concatenate([spread([self.stream[stage - 1].valid], count - count // 2, generator),
                               spread([task.valid for task in self.past(stage)], count // 2, generator)])

    def generator(self, *names: object) -> np.random.Generator:
        """The named seed of a draw."""
        return numpy_generator(self.seed, self.name, *names)

    def keep(self, rows: Rows, stage: int) -> Rows:
        """The rows that give a gradient: all of them."""
        return rows

    def train_on(self, rows: Rows, fitting: Fitting) -> float | None:
        """One optimiser step; returns the loss (None if no row gives a gradient)."""
        if not len(rows):
            return None
        loss = self.loss(self.logits(rows, fitting.stage), self.targets(rows))
        fitting.optimiser.zero_grad()
        loss.backward()
        fitting.optimiser.step()
        value = loss.item()
        if not np.isfinite(value):
            raise ConpetError(
                f"The loss of stage {fitting.stage} became {value} in epoch {fitting.epoch + 1}. "
                f"Likely cause: learning_rate={self.config.learning_rate} or alpha={self.config.alpha} is too high.")
        return value

    def logits(self, rows: Rows, stage: int) -> Tensor:
        """`(batch, seen_labels)` scores."""
        return self.features.scores(rows, self.modules[0])

    def targets(self, rows: Rows) -> Tensor:
        """`(batch,)` int64: the right column of `logits` for each row."""
        return torch.from_numpy(self.stream.label_numbers(rows)).to(self.features.backbone.device)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy over all seen labels, in nats."""
        return torch.nn.functional.cross_entropy(logits, targets)

    @torch.no_grad()
    def score(self, rows: Rows, stage: int) -> tuple[float, float]:
        """(accuracy, minus loss) on validation rows; the higher, the better."""
        if not len(rows):
            return 0.0, 0.0
        parts = [rows[start:start + 64] for start in range(0, len(rows), 64)]
        logits = torch.cat([self.logits(part, stage) for part in parts])
        targets = self.targets(rows)
        return (logits.argmax(1) == targets).float().mean().item(), -self.loss(logits, targets).item()

    def close(self, stage: int) -> None:
        """Put back the weights of the best epoch, freeze the module, and write the stage's ledger."""
        fitting = self.fitting
        fitting.module.load_state_dict(fitting.best)
        fitting.module.requires_grad_(False)
        batches = [rows for epoch in range(self.config.epochs) for rows in self.batches(stage, epoch)]
        kept = [self.keep(rows, stage) for rows in batches]
        self.drawn[stage] = Counter(np.concatenate(batches).tolist())
        self.ledger.append({
            "stage": stage, "part": self.name, "steps": len(batches), "rows": sum(map(len, batches)),
            "rows_with_gradient": sum(map(len, kept)), "distinct_rows": len(self.drawn[stage]),
            "best_valid_accuracy": fitting.best_score[0]})

    def prepare(self, rows: Rows, stage: int) -> None:
        """Compute ahead what the stage will ask of these rows: their prefixes."""
        self.features.fill(rows, lambda done, total: self.tell(
            Step(stage=stage, stages=len(self.stream), doing="prefix", done=done, total=total)))

    def draws(self, stage: int) -> Rows:
        """The distinct rows that the stage trains and validates on."""
        drawn = [rows for epoch in range(self.config.epochs) for rows in self.batches(stage, epoch)]
        return np.unique(np.concatenate([*drawn, self.valid_rows(stage)]))

    # --- answers -------------------------------------------------------------------------------

    @torch.no_grad()
    def answer(self, rows: Rows, known_tasks: np.ndarray | None = None) -> Answers:
        """Answers to rows among all labels seen.

        Args:
            rows: `(rows,)` int64.
            known_tasks: `(rows,)` the true tasks, only to report `within` and `reached`; they never change an answer.
        """
        return self.answers(self.features.scores_of(rows, self.modules[0]), known_tasks)

    def answers(self, logits: Tensor, known_tasks: np.ndarray | None, task_scores: Tensor | None = None) -> Answers:
        """`Answers` from `(rows, seen_labels)` logits and, of a selector, `(rows, tasks)` probabilities."""
        task_of_label = self.stream.task_of_label[:logits.shape[1]]
        likely = logits.softmax(1)
        if task_scores is None:
            task_scores = sum_by(likely, task_of_label)
        best = torch.cat([likely, torch.zeros(len(likely), 1)], 1).topk(2, dim=1).values.numpy()   # (rows, 2)
        label = logits.argmax(1).numpy()
        within = np.full(len(logits), -1)
        if known_tasks is not None:
            others = torch.from_numpy(task_of_label[None] != known_tasks[:, None])
            within = logits.masked_fill(others, -torch.inf).argmax(1).numpy()
        return Answers(label=label, module=np.array(self.module_of_task)[task_of_label[label]],
                       task=task_scores.argmax(1).numpy(), confidence=best[:, 0], margin=best[:, 0] - best[:, 1],
                       task_confidence=task_scores.max(1).values.numpy(), within=within,
                       ranking=task_scores.argsort(dim=1, descending=True, stable=True).numpy(),
                       reached=np.ones(len(logits), dtype=bool))


def sum_by(scores: Tensor, group: np.ndarray) -> Tensor:
    """Sum columns by group: `(rows, columns)` and `(columns,)` group numbers to `(rows, groups)`."""
    return torch.zeros(len(scores), int(group.max()) + 1).index_add_(1, torch.from_numpy(group), scores)


class Vanilla(Learner):
    """No replay: a stage sees its own task alone. The lower bound of every plot."""

    def new_share(self, stage: int) -> float:
        return 1.0

    def past(self, stage: int) -> list[Task]:
        return []


class StaticConPET(Learner):
    """Static ConPET: one module and one growing head, trained with dynamic replay from the full history.

    Source: ConPET (arXiv 2309.14763), Static ConPET; it is the official code's EMR with dynamic replay.
    """

    config: StaticConfig
