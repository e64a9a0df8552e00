"""Configuration: small frozen dataclasses, checked when made; each prints as the code that makes it again."""

import json
from dataclasses import asdict, dataclass

from conpet_lib.core.assets import DATA
from conpet_lib.core.errors import check, check_known
from conpet_lib.models.adapters import TARGETS

RULES = {  # what must hold of a setting, of whichever config it is, and the same in words
    **dict.fromkeys(
        ("rank", "batch_size", "epochs", "valid_examples", "later_stage", "active", "memory"),
        (lambda value: type(value) is int and value >= 1, "a whole number of 1 or more"),
    ),  # not a bool
    **dict.fromkeys(
        ("batch_limit", "modules", "memory_in_all"),
        (
            lambda value: value is None or type(value) is int and value >= 1,
            "a whole number of 1 or more, or None",
        ),
    ),
    **dict.fromkeys(("alpha", "epsilon", "temperature"), (lambda value: value > 0, "above 0")),
    **dict.fromkeys(
        ("learning_rate", "new_share"), (lambda value: 0 < value <= 1, "above 0, at most 1")
    ),
    "later_learning_rate": (lambda value: value is None or value > 0, "above 0, or None"),
    **dict.fromkeys(("weight_decay", "strength"), (lambda value: value >= 0, "0 or more")),
    "targets": (lambda value: isinstance(value, tuple) and len(value) > 0, "a tuple of names"),
    **{
        name: (known.__contains__, " or ".join(map(repr, known)))
        for name, known in {
            "tunes": ("module", "all"),
            "joining": ("similar", "in turn"),
            "selector": ("tasks", "labels"),
        }.items()
    },
}


@dataclass(frozen=True, kw_only=True)
class VanillaConfig:
    """What every learner has: a module, its optimiser, and a stage of `epochs` x `batch_limit` batches."""

    learners = (
        "vanilla",
        "joint",
        "class-mean",
        "full",
    )  # no setting: the entries of `LEARNERS` with this config
    learner: str | None = None  # one of them; None: the first
    tunes: str = "module"  # or "all": every weight of the backbone; the learners "full" always do
    new_share = 1.0  # no setting: nothing is replayed
    rank: int = 4  # of the LoRA matrices
    alpha: float = 8.0  # LoRA's scale is alpha / rank
    targets: tuple[str, ...] = TARGETS  # Linear modules that carry LoRA, by the end of their names
    batch_size: int = 16  # examples, new and replayed together
    batch_limit: int | None = 30  # training batches an epoch; None is the Limitless bound
    limit_first: bool = (
        True  # whether the batch limit holds for stage 1 too; else an epoch is one pass
    )
    epochs: int = 4  # each with batches drawn afresh, validated at its end
    learning_rate: float = (
        2e-3  # of AdamW, as are the next four; smollm2-135m does better with 1e-3
    )
    later_learning_rate: float | None = (
        None  # from stage `later_stage` on; None: the same throughout
    )
    later_stage: int = 2
    weight_decay: float = 0.01
    epsilon: float = 1e-8
    valid_examples: int = 160  # size of a stage's fixed validation set, half of it new

    def __post_init__(self):
        object.__setattr__(
            self, "learner", self.learners[0] if self.learner is None else self.learner
        )
        check(self.learner in self.learners, self, "learner", f"one of {', '.join(self.learners)}")
        object.__setattr__(self, "tunes", "all" if self.learner.startswith("full") else self.tunes)
        check(
            self.tunes != "all" or self.learner not in ("linear", "class-mean"),
            self,
            "tunes",
            "'module'",
        )
        for name, (holds, wanted) in RULES.items():
            check(name not in asdict(self) or holds(getattr(self, name)), self, name, wanted)

    def limit(self, stage: int) -> int | None:
        return self.batch_limit if stage > 1 or self.limit_first else None

    def rate(self, stage: int) -> float:
        return (
            self.later_learning_rate if stage >= self.later_stage else None
        ) or self.learning_rate


@dataclass(frozen=True, kw_only=True)
class StaticConfig(VanillaConfig):
    """Static ConPET: one module, dynamic replay."""

    learners = ("static", "full-replay", "linear")
    new_share: float = 0.5  # part of a batch that comes from the new task


@dataclass(frozen=True, kw_only=True)
class DynamicConfig(StaticConfig):
    """Dynamic ConPET: task modules and a selector."""

    learners = ("dynamic",)
    active: int = 1  # modules that answer an example, chosen by the selector (the paper: 1)
    modules: int | None = None  # module budget; None: one for each task
    joining: str = (
        "similar"  # the budget spent, a task joins the most "similar" module, or "in turn"
    )
    teacher_forcing: bool = True  # in training the true task's module is always active
    selector: str = "tasks"  # what the selector is trained on: "tasks" (the paper) or "labels"


@dataclass(frozen=True, kw_only=True)
class MemoryConfig(StaticConfig):
    """EMR, EA-EMR and CRL: a fixed memory; with a star the same loss over the full history."""

    learners = ("emr", "ea-emr", "crl", "ea-emr*", "crl*")
    memory: int = 10  # training rows kept of a label
    memory_in_all: int | None = (
        None  # or of all labels together, shared out evenly, at least one each
    )
    choosing: str = (
        "k-means"  # or "herding", "random"; for EMR with `memory_in_all` also "reservoir"
    )

    def __post_init__(self):
        super().__post_init__()
        known = (
            "k-means",
            "herding",
            "random",
            self.learner == "emr" and self.memory_in_all and "reservoir",
        )
        check(
            self.choosing in known,
            self,
            "choosing",
            "k-means, herding, random; for EMR in all also reservoir",
        )


@dataclass(frozen=True, kw_only=True)
class EWCConfig(VanillaConfig):
    """Elastic weight consolidation."""

    learners = ("ewc",)
    strength: float = 1e4  # lambda, of the springs


@dataclass(frozen=True, kw_only=True)
class LwFConfig(VanillaConfig):
    """Learning without forgetting."""

    learners = ("lwf",)
    strength: float = 1.0  # of the distillation, beside the loss
    temperature: float = 2.0  # of the distillation, as in the paper


def paper(learner: type[VanillaConfig], corpus: str, **more: object) -> VanillaConfig:
    """The authors' settings for a LLaMA-class backbone, on all its layers; `max_tokens=128` for relations, else 256.
    Args: learner: `StaticConfig` or `DynamicConfig`. corpus: a key of `data/paper.json`. more: fields that differ.
    Example: `paper(DynamicConfig, "fewrel").batch_limit` is 320, the 80 % of theirs that train.
    Source: configs/*.yaml, global_var.py of github.com/Raincleared-Song/ConPET at 1a37c13."""
    known = json.loads((DATA / "paper.json").read_text(encoding="utf-8"))
    check_known("corpus", corpus, known)
    return learner(
        **{
            "rank": 4,
            "alpha": 1.0,
            "targets": ("q_proj", "k_proj"),
            "batch_size": 8,
            "epsilon": 1e-4,
            "weight_decay": 0.01,
            "limit_first": False,
            **known[corpus],
            **more,
        }
    )
