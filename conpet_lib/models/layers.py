"""Layers: where a model keeps them, how deep it may be cut, and a hash of what runs.

In: a model of transformers. Out: names, numbers and hashes. Knows nothing of gates, prompts or PET
modules. Start at `name_of_layers`.
"""

import torch
from torch import nn
from transformers import PreTrainedModel

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.tensors import digest


def name_of_layers(model: PreTrainedModel) -> str:
    """Find what a model calls the list of its layers.

    Args:
        model: Any model of transformers.

    Returns:
        The name of the module that is the list.

    Raises:
        ConpetError: If it has no such list, or reads one text with an encoder and a decoder.
    """
    usable = "Use an encoder or a causal decoder, such as BERT, RoBERTa, LLaMA, Qwen or Mistral."
    if getattr(model.config, "is_encoder_decoder", False):
        raise ConpetError(
            f"{type(model).__name__} is an encoder with a decoder behind it, and a prompt has one "
            f"text for one of them. {usable}"
        )
    count = model.config.num_hidden_layers
    name: str
    for name, part in model.named_modules():
        if isinstance(part, nn.ModuleList) and len(part) == count:
            return name
    raise ConpetError(
        f"{type(model).__name__} has no list of {count} layers that could be run one by one. "
        f"{usable}"
    )


def checked_depth(name: str, exit_layer: int, tuned_layers: int | str, count: int) -> int:
    """Say how many layers are tuned, once the depths are known to be possible.

    Args:
        name: Of the backbone, for the message.
        exit_layer: Number of layers that run.
        tuned_layers: How many of them carry a PET module, or "all".
        count: Layers that the model has.

    Returns:
        The number of tuned layers.

    Raises:
        ConpetError: For depths that the model does not have.
    """
    if not isinstance(exit_layer, int) or not 1 <= exit_layer <= count:
        raise ConpetError(
            f"exit_layer={exit_layer!r}: {name} has {count} layers; use 1 to {count}."
        )
    tuned = exit_layer if tuned_layers == "all" else tuned_layers
    if not isinstance(tuned, int) or not 1 <= tuned <= exit_layer:
        raise ConpetError(
            f"tuned_layers={tuned!r}: use 1 to {exit_layer} (the exit layer), or 'all'."
        )
    return tuned


def positions_of(model: PreTrainedModel) -> int | None:
    """Count the positions that a model was made for.

    Args:
        model: Any model of transformers.

    Returns:
        The longest prompt that it can read, in tokens; None: any.
    """
    most: int | None = getattr(model.config, "max_position_embeddings", None)
    if most is None or most < 1:  # some configurations say -1 for any
        return None
    for name, part in model.named_modules():
        # RoBERTa and its kin count positions from behind that of padding.
        learned = isinstance(part, nn.Embedding) and name.endswith("position_embeddings")
        if learned and part.padding_idx is not None and part.num_embeddings == most:
            return most - part.padding_idx - 1
    return most


def check_positions(name: str, positions: int | None, max_tokens: int) -> None:
    """Refuse prompts that may be longer than what a model was made for.

    Args:
        name: Of the backbone, for the message.
        positions: What `positions_of` gives.
        max_tokens: The longest prompt.

    Raises:
        ConpetError: If the model has fewer positions.
    """
    if positions is not None and max_tokens > positions:
        raise ConpetError(
            f"max_tokens={max_tokens}: {name} has {positions} positions; use at most as many. "
            "Longer prompts are cut around their spans."
        )


def placed(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    """Bring a model to where it computes.

    Args:
        model: Any model of transformers; one that is quantized was read there.
        device: Where it computes.

    Returns:
        The same model.
    """
    if quantization_of(model) is None:
        model.to(device)
    return model


def quantization_of(model: PreTrainedModel) -> str | None:
    """How bitsandbytes keeps the weights of a model.

    Args:
        model: Any model of transformers.

    Returns:
        "4bit" or "8bit"; None where it does not.
    """
    about = getattr(model.config, "quantization_config", None)
    for quantization in ("4bit", "8bit"):
        if getattr(about, f"load_in_{quantization}", False):
            return quantization
    return None


def fingerprint_of(model: PreTrainedModel, device: torch.device, dtype: torch.dtype) -> str:
    """Hash all that a hidden state depends on beside the prompt.

    Args:
        model: As it runs.
        device: Where it runs.
        dtype: In what type it computes.

    Returns:
        The hash.
    """
    named_weights: list[object] = []
    for name, weight in model.state_dict().items():
        named_weights += [name, weight if device.type != "meta" else tuple(weight.shape)]
    shape = model.config.to_dict()
    for note in ("_name_or_path", "transformers_version"):  # where it came from changes nothing
        shape.pop(note, None)
    return digest(*named_weights, shape, device.type, dtype)


def is_tied(model: nn.Module) -> bool:
    """Say whether one weight has two names in a model.

    Args:
        model: Any model.
    """
    names = list(model.named_parameters(remove_duplicate=False))
    return len(names) != len(list(model.parameters()))
