"""Configuration: what every learner's settings have in common.

Small frozen dataclasses, checked when they are made; each prints as the code that makes it again.
The settings of one method stand beside it, in its file. Knows nothing of streams or modules.
"""

import warnings
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from conpet_lib.core.errors import ArgumentError, ConpetError, check_known
from conpet_lib.learners import settings
from conpet_lib.models.adapters import TARGETS, pet_kind

if TYPE_CHECKING:
    from conpet_lib.learners.base import Learner


class _ByOldSpelling(type):
    """Lets `VanillaConfig(learner="joint")` make a `JointConfig` for one version, and warns."""

    def __call__(cls, *given: Any, learner: str | None = None, **changed: Any) -> Any:
        if learner is None:
            _check_names(cls, changed)
            return super().__call__(*given, **changed)
        by_name = {config.learner: config for config in _with_subclasses(cls)}
        if not isinstance(learner, str) or learner not in by_name:
            known = ", ".join(sorted(by_name))
            raise ArgumentError(
                f"{cls.__name__}(learner={learner!r}): learner must be one of {known}."
            )
        config = by_name[learner]
        warnings.warn(
            f"{cls.__name__}(learner={learner!r}) is now {config.__name__}(), or "
            f"cp.method({learner!r}); the old spelling goes with the next version.",
            DeprecationWarning,
            stacklevel=2,
        )
        return config(**changed)


def _check_names(config: type, changed: dict[str, Any]) -> None:
    """Refuse a setting that a configuration class does not have."""
    known = [each.name for each in fields(config)]
    for name in changed:
        check_known(f"setting of {config.__name__}", name, known)


def _with_subclasses(config: Any) -> list[Any]:
    """A configuration class and all that were made from it."""
    below = [one for child in config.__subclasses__() for one in _with_subclasses(child)]
    return [*below, config]


@dataclass(frozen=True, kw_only=True)
class LearnerConfig(metaclass=_ByOldSpelling):
    """What every learner has: a module, an optimiser, stages of `epochs` x `batch_limit` batches.

    Small, frozen, checked when it is made; it prints as the code that makes it again.

    Attributes:
        learner: The method's name, as in `cp.LEARNERS`; of the class, no setting.
        learner_class: What trains by this configuration; of the class, no setting.
    """

    learner: ClassVar[str]
    learner_class: ClassVar[type["Learner"]]

    tunes: str = settings.one_of(
        ("module", "all"), "A PET module, or every weight of the backbone."
    )
    pet: str = "lora"  # kind of the PET module, a key of `PETS`
    rank: int = settings.whole(4, "Rank of the LoRA matrices.")
    alpha: float = settings.above_zero(8.0, "LoRA's scale is alpha / rank.")
    targets: tuple[str, ...] = settings.setting(
        TARGETS,
        "Linear modules that carry LoRA, by the end of their names.",
        lambda value: isinstance(value, tuple) and len(value) > 0,
        "a tuple of names",
    )
    batch_size: int = settings.whole(16, "Examples, new and replayed together.")
    batch_limit: int | None = settings.whole_or_none(
        30, "Training batches per epoch; None is the Limitless bound."
    )
    limit_first: bool = (
        True  # whether the batch limit holds for stage 1 too, else one pass per epoch
    )
    epochs: int = settings.whole(4, "Each with batches drawn afresh, validated at its end.")
    learning_rate: float = settings.share(
        2e-3, "Of AdamW, as are the next four; smollm2-135m does better with 1e-3."
    )
    later_learning_rate: float | None = settings.above_zero_or_none(
        None, "From stage `later_stage` on; None: the same throughout."
    )
    later_stage: int = settings.whole(2, "The first stage of the later learning rate.")
    weight_decay: float = settings.zero_or_more(0.01, "Of AdamW.")
    epsilon: float = settings.above_zero(1e-8, "Of AdamW.")
    valid_examples: int = settings.whole(
        160, "Size of a stage's fixed validation set, half of it new."
    )
    max_tokens: int = settings.whole(
        128, "The longest prompt; a longer one is cut around its spans, never dropped."
    )

    def __post_init__(self) -> None:
        if not hasattr(self, "learner"):
            raise ConpetError(
                "LearnerConfig() is what the configurations of all methods share. Take that of a "
                'method, such as cp.StaticConfig() or cp.method("static").'
            )
        settings.check_settings(self)
        pet_kind(self.pet)  # another kind is refused in words

    def limit(self, stage: int) -> int | None:
        """Training batches per epoch of a stage; None where an epoch is one pass over all rows.

        Args:
            stage: The stage, from 1.
        """
        if stage == 1 and not self.limit_first:
            return None
        return self.batch_limit

    def rate(self, stage: int) -> float:
        """The learning rate of a stage.

        Args:
            stage: The stage, from 1.
        """
        if self.later_learning_rate is not None and stage >= self.later_stage:
            return self.later_learning_rate
        return self.learning_rate

    def as_record(self) -> dict[str, Any]:
        """The settings as plain values, the method's name first, as a run's record has them."""
        return {"learner": self.learner, **asdict(self)}
