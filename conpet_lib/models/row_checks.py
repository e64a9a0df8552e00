"""Row checks: what must hold of any short form of an exit layer.

In: a short form of your own, and a backbone to try it on. Out: nothing, or one ConpetError that
says what to mend. May import all of this room but `checks`. Knows nothing of PET kinds other than
LoRA. Start at `check_answer_row`.
"""

from dataclasses import dataclass

import torch

from conpet_lib.core.arguments import checked
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.seeds import torch_generator
from conpet_lib.models.adapters import TARGETS
from conpet_lib.models.answer_rows import ANSWER_ROW, AnswerRow
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.modules import PetModule
from conpet_lib.models.trials import (
    ALPHA,
    LENGTHS,
    RANK,
    SAME,
    features_by_answer_row,
    largest_difference,
    random_states,
    require_float32,
)

PADDING = 7  # tokens
LONG = 128  # tokens of one prompt, where the model can take as many
RESERVED = 8  # positions that some models do not count from 0, such as RoBERTa
SPREAD = 0.3  # of the random weights of a LoRA module, so that it changes the features


@dataclass(frozen=True)
class _Case:
    """A batch on which a short form must equal the whole layer, and what a difference tells."""

    told: str
    lengths: tuple[int, ...]
    remedy: str
    padding: int = 0


def _cases(backbone: Backbone) -> list[_Case]:
    """The batches, in an order in which the first difference tells most."""
    positions = getattr(backbone.model.config, "max_position_embeddings", LONG + RESERVED)
    long = min(LONG, positions - RESERVED)
    return [
        _Case(
            "one unpadded prompt",
            LENGTHS[:1],
            "Go through the layer's forward and do the same steps: norms, scaling, positions, what "
            "is added to what; the query is read at `answer`, keys and values from all tokens that "
            "the layer sees from there.",
        ),
        _Case(
            f"one prompt of {long} tokens",
            (long,),
            "Shorter prompts are right, so the layer looks at a part of the tokens only, such as a "
            "window: use the mask that it is given.",
        ),
        _Case(
            "one padded prompt",
            LENGTHS[:1],
            "Without padding it is right: let `real` keep padding out of attention, as `attend` "
            "does, and read the row at `answer`, which is not the last one here.",
            padding=PADDING,
        ),
        _Case(
            "a batch of unequal prompts",
            LENGTHS,
            "A prompt alone is right: read each row at its own `answer`, as `pick` does.",
        ),
    ]


@torch.no_grad()
@checked
def check_answer_row(
    backbone: Backbone, answer_row: AnswerRow | None = None, targets: tuple[str, ...] = TARGETS
) -> None:
    """Prove that the short form of an exit layer equals the whole layer at the answer position.

    It is tried on random hidden states: one prompt alone, a long one, one that is padded, a batch
    of unequal prompts; each without a PET module, and with a LoRA module of random weights.

    Args:
        backbone: Any small one in float32 whose exit layer is of the class in question.
        answer_row: The short form; default: that of the backbone, which was in `ANSWER_ROW` when
            the backbone was loaded.
        targets: Linear modules that carry LoRA, by the end of their names.

    Raises:
        ConpetError: For the first case in which they differ; it says what to mend.
    """
    layer = type(backbone.layers[-1]).__name__
    short = answer_row or backbone.answer_row
    if short is None:
        known = ", ".join(sorted(layer_class.__name__ for layer_class in ANSWER_ROW))
        raise ConpetError(
            f"{layer} has no short form; {known} have. Give the function as answer_row=, or put it "
            "into ANSWER_ROW and load the backbone after that."
        )
    require_float32(backbone)
    cases = _cases(backbone)
    for case in cases:
        _compare(f"{layer}, {case.told}", backbone, short, case, None, case.remedy)
    module = _random_lora(backbone, targets)
    remedy = (
        "Without a module it is right: call the layer's own modules, such as "
        "layer.self_attn.q_proj(hidden), which PEFT wraps, and do not use their weights directly."
    )
    for case in cases:
        told = f"{layer} with a PET module, {case.told}"
        _compare(told, backbone, short, case, module, remedy)
    backbone.register(None)


def _random_lora(backbone: Backbone, targets: tuple[str, ...]) -> PetModule:
    """A LoRA module that changes the features."""
    module = PetModule(backbone, backbone.pet("lora", RANK, ALPHA, targets), 0, "check")
    generator = torch_generator(0, "check", "weights")
    for weight in module.adapter.values():
        drawn = torch.randn(weight.shape, generator=generator)
        weight.copy_(SPREAD * drawn)
    return module


def _compare(
    told: str,
    backbone: Backbone,
    short: AnswerRow,
    case: _Case,
    module: PetModule | None,
    remedy: str,
) -> None:
    """Refuse a short form that differs from the whole layer in one case."""
    batch = random_states(backbone, case.lengths, case.padding)
    wanted = features_by_answer_row(backbone, batch, module, None)
    try:
        got = features_by_answer_row(backbone, batch, module, short)
    except Exception as bug:  # of the short form, which is told with its traceback
        raise ConpetError(
            f"{told}: the short form raises {type(bug).__name__} {bug}: mend it; its traceback "
            "stands above."
        ) from bug
    if got.shape != wanted.shape:
        raise ConpetError(
            f"{told}: the short form must give (batch, 1, hidden), but features become "
            f"{tuple(got.shape)} by it, {tuple(wanted.shape)} by the whole layer."
        )
    difference = largest_difference(got, wanted)
    if difference > SAME:
        raise ConpetError(
            f"{told}: the short form differs from the whole layer by {difference:.2g}, more than "
            f"{SAME}. {remedy}"
        )
