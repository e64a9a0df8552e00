"""Configuration: small frozen dataclasses, checked when they are made.

A config prints as the code that makes it again. `learner` names the entry of `LEARNERS` that it is for.
"""

from dataclasses import dataclass
from typing import ClassVar

from conpet_lib.backbone import TARGETS
from conpet_lib.errors import check, unknown


def whole(value: object) -> bool:
    """Whether a value is a whole number of 1 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


@dataclass(frozen=True, kw_only=True)
class VanillaConfig:
    """A module, its optimiser and the length of a stage: what every learner has.

    A stage is `epochs` x `batch_limit` batches whatever its number. The learning rate 2e-3 serves
    minilm-l6; smollm2-135m does better with 1e-3.
    """

    learner: ClassVar[str] = "vanilla"
    rank: int = 4                        # of the LoRA matrices
    alpha: float = 8.0                   # LoRA's scale is alpha / rank
    targets: tuple[str, ...] = TARGETS   # Linear modules that carry LoRA, by the end of their names
    batch_size: int = 16                 # examples, new and replayed together
    batch_limit: int | None = 30         # training batches an epoch; None is the Limitless bound
    limit_first: bool = True             # whether the batch limit holds for stage 1 too; else an epoch is one pass
    epochs: int = 4                      # each with batches drawn afresh, validated at its end
    learning_rate: float = 2e-3          # of AdamW, as are the next four
    later_learning_rate: float | None = None    # from stage `later_stage` on; None: the same throughout
    later_stage: int = 2
    weight_decay: float = 0.01
    epsilon: float = 1e-8
    valid_examples: int = 160            # size of a stage's fixed validation set, half of it new

    def __post_init__(self):
        for field in ("rank", "batch_size", "epochs", "valid_examples", "later_stage"):
            check(whole(getattr(self, field)), self, field, "a whole number of 1 or more")
        for field in ("alpha", "epsilon"):
            check(getattr(self, field) > 0, self, field, "above 0")
        later, limit = self.later_learning_rate, self.batch_limit
        check(0 < self.learning_rate <= 1, self, "learning_rate", "above 0, at most 1")
        check(later is None or later > 0, self, "later_learning_rate", "above 0, or None")
        check(self.weight_decay >= 0, self, "weight_decay", "0 or more")
        check(limit is None or whole(limit), self, "batch_limit", "a whole number of 1 or more batches, or None")
        check(isinstance(self.targets, tuple) and len(self.targets) > 0, self, "targets", "a tuple of names")

    def limit(self, stage: int) -> int | None:
        """The batch limit of a stage."""
        return self.batch_limit if stage > 1 or self.limit_first else None

    def rate(self, stage: int) -> float:
        """The learning rate of a stage."""
        later = stage >= self.later_stage and self.later_learning_rate is not None
        return self.later_learning_rate if later else self.learning_rate


@dataclass(frozen=True, kw_only=True)
class StaticConfig(VanillaConfig):
    """Static ConPET: one module, dynamic replay."""

    learner: ClassVar[str] = "static"
    new_share: float = 0.5               # part of a batch that comes from the new task

    def __post_init__(self):
        super().__post_init__()
        check(0 < self.new_share <= 1, self, "new_share", "a share above 0, at most 1")


@dataclass(frozen=True, kw_only=True)
class DynamicConfig(StaticConfig):
    """Dynamic ConPET: task modules and a selector."""

    learner: ClassVar[str] = "dynamic"
    active: int = 1                      # modules that answer an example, chosen by the selector (the paper: 1)
    modules: int | None = None           # module budget; None: one for each task
    joining: str = "similar"             # the budget spent, a task joins the most "similar" module, or "in turn"
    teacher_forcing: bool = True         # in training the true task's module is always active
    selector: str = "tasks"              # what the selector is trained on: "tasks" (the paper) or "labels"

    def __post_init__(self):
        super().__post_init__()
        check(whole(self.active), self, "active", "a whole number of 1 or more modules")
        check(self.modules is None or whole(self.modules), self, "modules", "a whole number of 1 or more, or None")
        check(self.joining in ("similar", "in turn"), self, "joining", "'similar' or 'in turn'")
        check(self.selector in ("tasks", "labels"), self, "selector", "'tasks' or 'labels'")


# The authors' settings for LLaMA-7B: batch limit (the 80 % of it that trains), epochs, learning rate, the later
# one and its first stage. Source: configs/*.yaml, global_var.py of github.com/Raincleared-Song/ConPET at 1a37c13.
PAPER = {
    "fewnerd": (2000, 10, 5e-4, 1e-4, 3), "ontonotes": (1000, 10, 5e-4, 1e-4, 4), "bbn": (400, 10, 2e-4, None, 2),
    "fewrel": (320, 10, 2e-4, None, 2), "tacred": (80, 20, 2e-4, None, 2), "ace": (80, 20, 2e-4, None, 2)}


def paper(learner: type[VanillaConfig], corpus: str, **more: object) -> VanillaConfig:
    """The authors' settings for a LLaMA-class backbone: rank 4, alpha 1, q and k projections, batch 8, AdamW eps 1e-4.

    Args: learner: `StaticConfig` or `DynamicConfig`. corpus: a key of `PAPER`. more: fields that differ.
    Use it with `load_backbone(..., tuned_layers="all")` and `train(..., max_tokens=128)` for relations, else 256.
    Example: `paper(DynamicConfig, "fewrel").batch_limit` is 320.
    """
    if corpus not in PAPER:
        raise unknown("corpus", corpus, PAPER)
    limit, epochs, rate, later, first = PAPER[corpus]
    return learner(**{"rank": 4, "alpha": 1.0, "targets": ("q_proj", "k_proj"), "batch_size": 8, "epsilon": 1e-4,
                      "weight_decay": 0.01, "batch_limit": limit, "limit_first": False, "epochs": epochs,
                      "learning_rate": rate, "later_learning_rate": later, "later_stage": first, **more})
