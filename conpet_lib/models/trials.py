"""Trials: small random batches, and the same features had in two ways, for the checks.

In: a backbone. Out: batches at its boundary, features by a module, by the whole exit layer or by
plain PEFT, and how far two of them differ. May import all of this room but the checks. Knows
nothing of what must hold. Start at `Batch`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from peft import PeftModel
from torch import Tensor, nn

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.seeds import torch_generator
from conpet_lib.models.answer_rows import AnswerRow
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.modules import PetModule
from conpet_lib.models.prefix import padded
from conpet_lib.models.reading import read_model

SAME = 1e-4  # features have a root mean square of 1; other orders of the same sums differ by less
RANK = 4
ALPHA = 8.0
LENGTHS = (11, 5, 8)  # tokens of the prompts


class Batch(NamedTuple):
    """What a top takes."""

    hidden: Tensor  # (batch, tokens, hidden), states at the boundary
    real: Tensor  # (batch, tokens) bool
    answer: Tensor  # (batch,) int64


def require_float32(backbone: Backbone) -> None:
    """Refuse a backbone whose rounding would hide a fault.

    Args:
        backbone: Of any type.

    Raises:
        ConpetError: If it does not compute in float32.
    """
    if backbone.dtype != torch.float32:
        raise ConpetError(
            f"{backbone.name} computes in {backbone.dtype}, which is too coarse for a check. Load "
            "it with dtype='float32'."
        )


def random_tokens(backbone: Backbone, lengths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Draw prompts, always the same.

    Args:
        backbone: Of its vocabulary.
        lengths: Tokens of each prompt.

    Returns:
        Token numbers `(batch, tokens)`, padded, and `(batch, tokens)` bool: which are real.
    """
    generator = torch_generator(0, "check", "tokens")
    most = backbone.model.config.vocab_size
    prompts = [torch.randint(most, (length,), generator=generator).tolist() for length in lengths]
    ids, real = padded(prompts)
    return ids.to(backbone.device), real.to(backbone.device)


def random_states(backbone: Backbone, lengths: tuple[int, ...], padding: int = 0) -> Batch:
    """Draw hidden states at the boundary, always the same.

    Args:
        backbone: Of its width.
        lengths: Tokens of each prompt.
        padding: Tokens more than the longest has.

    Returns:
        The batch; what stands at padding is random, too.
    """
    tokens = max(lengths) + padding
    generator = torch_generator(0, "check", "states", *lengths)
    hidden = torch.randn(len(lengths), tokens, backbone.hidden_size, generator=generator)
    real = torch.arange(tokens) < torch.tensor(lengths)[:, None]
    device = backbone.device
    return Batch(hidden.to(device), real.to(device), answer_positions(backbone, lengths))


def answer_positions(backbone: Backbone, lengths: tuple[int, ...]) -> Tensor:
    """Say where answers are read, as prompts have it.

    Args:
        backbone: An encoder or a decoder.
        lengths: Tokens of each prompt.

    Returns:
        `(batch,)` int64: in the middle for an encoder, the last token for a decoder.
    """
    last = torch.tensor(lengths, device=backbone.device) - 1
    return last // 2 if backbone.encoder else last


def features_by(backbone: Backbone, batch: Batch, module: PetModule | None = None) -> Tensor:
    """Compute answer features with a module or without.

    Args:
        backbone: What is run.
        batch: At its boundary.
        module: None for the bare backbone.

    Returns:
        `(batch, hidden)`.
    """
    if module is None:
        return backbone.top(*batch)
    return backbone.top(*batch, adapter=module.adapter, config=module.config)


def features_by_answer_row(
    backbone: Backbone, batch: Batch, module: PetModule | None, answer_row: AnswerRow | None
) -> Tensor:
    """Compute answer features with another short form of the exit layer.

    Args:
        backbone: What is run.
        batch: At its boundary.
        module: None for the bare backbone.
        answer_row: The short form; None: the whole layer is run.

    Returns:
        `(batch, hidden)`.
    """
    with backbone.busy:
        own = backbone.answer_row
        backbone.answer_row = answer_row
        try:
            return features_by(backbone, batch, module)
        finally:
            backbone.answer_row = own


@torch.no_grad()
def features_by_peft(
    backbone: Backbone, ids: Tensor, real: Tensor, answer: Tensor, folder: Path
) -> Tensor:
    """Compute answer features as plain PEFT does, on a fresh copy of the model.

    Args:
        backbone: The copy is read by its name, with all layers.
        ids: `(batch, tokens)`, token numbers.
        real: `(batch, tokens)` bool.
        answer: `(batch,)` int64.
        folder: What `PetModule.save` wrote.

    Returns:
        `(batch, hidden)`, scaled as `Backbone.top` does.
    """
    fresh = read_model(backbone.name).to(backbone.device).eval()
    exit_layer = fresh.get_submodule(backbone.layers_name)[backbone.exit_layer - 1]
    states: list[Tensor] = []
    exit_layer.register_forward_hook(_keeping_output(states))
    plain = PeftModel.from_pretrained(fresh, folder).eval()
    plain(input_ids=ids, attention_mask=real.long(), use_cache=False)
    rows = torch.arange(len(answer), device=answer.device)
    state = states[0][rows, answer].float()
    return state / state.square().mean(-1, keepdim=True).sqrt()


def _keeping_output(states: list[Tensor]) -> Callable[[nn.Module, object, object], None]:
    """A hook that puts what a layer gives into a list."""

    def keep(layer: nn.Module, inputs: object, output: object) -> None:
        state = output[0] if isinstance(output, tuple) else output
        assert isinstance(state, Tensor)
        states.append(state)

    return keep


def largest_difference(one: Tensor, other: Tensor) -> float:
    """Say how far two tensors differ.

    Args:
        one: Of any shape.
        other: Of the same shape.

    Returns:
        The largest difference of two values; infinite where one of them is undefined.
    """
    differences = (one.detach() - other.detach()).abs()
    return differences.nan_to_num(nan=float("inf")).max().item()
