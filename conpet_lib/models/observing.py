"""Observing: what a whole model does with short prompts, before it is cut in two.

In: a model of transformers. Out: its own hidden states for each prompt alone, whether it is causal,
and in what form its layers answer. A tokenizer's tokens say nothing of a model: a decoder may have
a mask token, and an encoder none. May import `layers`. Knows nothing of gates or prompts. Start at
`observe`.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.seeds import torch_generator
from conpet_lib.models.layers import positions_of

TINY = 1e-6  # keeps the scale of a feature finite
LENGTHS = (13, 9)  # tokens of the two prompts, at least
PADDING = 5  # tokens of padding that the probe adds to them
LONGEST_WINDOW = 256  # no prompt is made to reach over the edge of a wider attention window
WINDOWS = ("sliding_window", "attention_window", "local_attention", "window_size")
SAME_STATE = 1e-4  # of a state's root mean square: other orders of the same sums differ by less


class Reached(Exception):  # noqa: N818 - nothing went wrong
    """Ends a call of a model once what was wanted of it is there."""


@dataclass(frozen=True)
class Observed:
    """A whole model's answers to two short prompts.

    Attributes:
        ids: `(2, tokens)` int64, token numbers, the shorter prompt padded.
        real: `(2, tokens)` bool, False for padding.
        states: For each prompt, run alone and without padding, `(its tokens, hidden)` states
            behind the last layer that is run.
        causal: Whether no token sees those behind it.
        returned: For each layer, how many values it returns as a tuple; None: it returns a tensor.
    """

    ids: Tensor
    real: Tensor
    states: tuple[Tensor, Tensor]
    causal: bool
    returned: tuple[int | None, ...]


@torch.no_grad()
def observe(model: PreTrainedModel, layers: nn.ModuleList, device: torch.device) -> Observed:
    """Run a model on two short prompts of drawn tokens, always the same.

    Args:
        model: In evaluation mode, its layers as they came.
        layers: Those of its layers that will run; the states behind the last are kept.
        device: Where the model is.

    Returns:
        What it did.

    Raises:
        ConpetError: If it cannot be run from token numbers and an attention mask alone.
    """
    lengths = _lengths(model)
    words = model.get_input_embeddings().weight.shape[0]
    generator = torch_generator(0, "observe")
    ids = torch.randint(words, (2, max(lengths)), generator=generator).to(device)
    real = torch.arange(max(lengths), device=device) < torch.tensor(lengths, device=device)[:, None]
    try:
        states, returned = zip(
            *(_run(model, layers, ids[row, :length]) for row, length in enumerate(lengths))
        )
        other = ids[0].clone()
        other[-1] = (other[-1] + 1) % words
        changed, _ = _run(model, layers, other)
    except Exception as error:  # of any kind: the code is the model's own
        raise ConpetError(
            f"{type(model).__name__} cannot be run from token numbers and an attention mask alone: "
            f"{type(error).__name__}: {error}. Use an encoder or a causal decoder, such as BERT, "
            "RoBERTa, LLaMA, Qwen or Mistral."
        ) from error
    before_last = states[0][:-1] - changed[:-1]
    causal = bool(before_last.abs().max() <= SAME_STATE * _size(states[0]))
    return Observed(ids, real, states, causal, returned[0])


def _lengths(model: PreTrainedModel) -> tuple[int, int]:
    """Tokens of the two prompts: more than a narrow window holds, and no more than positions."""
    windows = [getattr(model.config, name, None) for name in WINDOWS]
    narrow = [window for window in windows if isinstance(window, int) and window <= LONGEST_WINDOW]
    longer = max(narrow, default=0)
    positions = positions_of(model) or LONGEST_WINDOW * 2
    longest, shorter = (min(length + longer, positions - PADDING) for length in LENGTHS)
    return max(longest, 2), max(shorter, 2)


def _run(
    model: PreTrainedModel, layers: nn.ModuleList, tokens: Tensor
) -> tuple[Tensor, tuple[int | None, ...]]:
    """The states of one prompt behind the last of the layers, and how each layer returned."""
    returned: list[int | None] = []
    states: list[Tensor] = []
    last = len(layers) - 1
    hooks = [
        layer.register_forward_hook(partial(_note, returned, states, number == last))
        for number, layer in enumerate(layers)
    ]
    ids = tokens.unsqueeze(0)
    try:
        model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    except Reached:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return states[0].squeeze(0).float(), tuple(returned)


def _note(
    returned: list[int | None],
    states: list[Tensor],
    is_last: bool,
    layer: nn.Module,
    inputs: object,
    output: Tensor | tuple[Tensor, ...],
) -> None:
    """A hook that notes how a layer returns, keeps the state of the last, and ends the call."""
    if isinstance(output, tuple):
        returned.append(len(output))
        state = output[0]
    else:
        returned.append(None)
        state = output
    if is_last:
        states.append(state)
        raise Reached


def _size(state: Tensor) -> Tensor:
    """The root mean square of a state."""
    return state.square().mean().sqrt()


def unit(state: Tensor) -> Tensor:
    """Scale states to unit root mean square, as answer features are.

    Args:
        state: `(..., hidden)`.

    Returns:
        As large.
    """
    mean_square = state.square().mean(-1, keepdim=True)
    return state * mean_square.add(TINY).rsqrt()
