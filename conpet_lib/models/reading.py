"""Reading: a model of transformers from a folder, the hub or a package, with the layers that run.

In: a name, and how many layers. Out: the model or its config, as files have it; whatever foreign
code says of them is said in words. May import the assets of `core`. Knows nothing of gates, prompts
or PET modules. Start at `read_model`.
"""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, get_session
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    logging,
)

from conpet_lib.core.assets import ASSETS, asset_folder
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.tensors import write_tensors
from conpet_lib.models.layers import name_of_layers

NEVER_READ = ("pooler.",)  # weights above the layers; many a file leaves them out
POINTER = b"version https:"  # how Git LFS begins what stands in place of weights
HUB_SECONDS = 5  # in which the hub must answer
TOLD = (bool, int, float, str, type(None))  # what a module says of itself in one value


def read_model(
    name: str,
    layers: int | None = None,
    dtype: torch.dtype = torch.float32,
    **further: Any,
) -> PreTrainedModel:
    """Read a model of transformers.

    Args:
        name: As for `load_backbone`.
        layers: How many of its layers will run. Those above them are not read, where the others are
            the same without them: an empty place stands for each. Default: all.
        dtype: Of the weights.
        further: Settings of transformers' `from_pretrained`.

    Returns:
        The model, on the CPU.

    Raises:
        ConpetError: If there is no model of this name.
    """
    about = read_config(name) if layers else None
    fewer = with_fewer_layers(about, layers) if about and layers else None
    settings = {"dtype": dtype, "use_safetensors": True, "output_loading_info": True, **further}
    if fewer:
        settings["config"] = fewer
    with _silence_of_reports():
        model, found = read_pretrained(AutoModel, name, **settings)
    _check_read(name, model, found)
    for part in model.modules():
        if isinstance(part, nn.LayerNorm):
            part.float()  # on a CPU, autocast leaves it as it is, and its inputs may be float32
    if about and fewer:
        _put_places_above(model, about)
    return model


def _check_read(name: str, model: PreTrainedModel, found: dict[str, Any]) -> None:
    """Refuse an adapter, and a model that lacks weights, which transformers draws at random."""
    if getattr(model, "peft_config", None):  # of a name on the hub; of a folder it is seen before
        raise _is_an_adapter(name)
    lacking = sorted(key for key in found["missing_keys"] if not key.startswith(NEVER_READ))
    if lacking:
        raise ConpetError(
            f"The backbone {name!r} lacks {len(lacking)} of its weights, such as {lacking[0]}. "
            "Download it again, or take the model from which its config.json is."
        )


def _put_places_above(model: PreTrainedModel, about: PretrainedConfig) -> None:
    """Let a model that was read without its upper layers be the one that it is."""
    places = model.get_submodule(name_of_layers(model))
    assert isinstance(places, nn.ModuleList)
    above = about.num_hidden_layers - len(places)
    places.extend(nn.Identity() for _ in range(above))
    quantized = getattr(model.config, "quantization_config", None)
    if quantized is not None:
        about.quantization_config = quantized
    model.config = about


@contextmanager
def _silence_of_reports() -> Iterator[None]:
    """A context in which transformers does not list weights that are not there, or not read.

    What matters of it is said by `read_model`.
    """
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def with_fewer_layers(about: PretrainedConfig, layers: int) -> PretrainedConfig | None:
    """The config of a model without the layers above some depth.

    Args:
        about: The config of the whole model; it stays as it is.
        layers: How many are left.

    Returns:
        A new config; None where the model has no more layers, or those that are left would be
        others in the smaller model, as where a layer's kind is counted from the end.
    """
    count = getattr(about, "num_hidden_layers", None)
    if not isinstance(count, int) or not 1 <= layers < count:
        return None
    fewer = copy.deepcopy(about)
    for name, value in about.to_dict().items():
        if isinstance(value, list) and len(value) == count:  # one for each layer
            setattr(fewer, name, value[:layers])
    fewer.num_hidden_layers = layers
    try:
        pairs = zip(_layers_of(fewer), _layers_of(about))
        is_same = all(_plan_of(one) == _plan_of(other) for one, other in pairs)
    except ConpetError:
        return None
    return fewer if is_same else None


def _layers_of(about: PretrainedConfig) -> Iterator[nn.Module]:
    """The layers of a model of shapes alone."""
    model = built(AutoModel, about)
    yield from model.get_submodule(name_of_layers(model)).children()


def _plan_of(layer: nn.Module) -> list[object]:
    """What a layer is built like: its modules, their shapes, and what they say of themselves."""
    plan: list[object] = []
    for name, part in layer.named_modules():
        told = {key: value for key, value in vars(part).items() if isinstance(value, TOLD)}
        shapes = [(key, weight.shape) for key, weight in part.named_parameters(recurse=False)]
        plan.append((name, type(part), told, shapes))
    return plan


def count_weights(about: PretrainedConfig, auto_class: Any = AutoModel) -> int:
    """Count the weights of a whole model, without making them.

    Args:
        about: Its config.
        auto_class: One of transformers' auto classes, which says what belongs to the model.
    """
    return sum(weight.numel() for weight in built(auto_class, about).parameters())


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


def read_config(name: str) -> PretrainedConfig:
    """Read the config of a model, without its weights.

    Args:
        name: As for `load_backbone`.

    Returns:
        The config.

    Raises:
        ConpetError: If there is no model of this name.
    """
    config: PretrainedConfig = read_pretrained(AutoConfig, name)
    return config


def built(auto_class: Any, about: PretrainedConfig) -> PreTrainedModel:
    """Build a model of shapes alone.

    Args:
        auto_class: One of transformers' auto classes.
        about: The config.

    Returns:
        The model, on the device "meta".

    Raises:
        ConpetError: If the class has no model for such a config.
    """
    try:
        with torch.device("meta"):
            model: PreTrainedModel = auto_class.from_config(about)
    except (ValueError, TypeError, AttributeError) as error:
        raise ConpetError(
            f"There is no model for {type(about).__name__}: {str(error).splitlines()[0]} Give the "
            "config of an encoder or a causal decoder."
        ) from None
    return model


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
