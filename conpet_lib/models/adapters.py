"""Adapters: the kinds of PET modules, and how PEFT's layers get into a model and out of it.

In: a kind's name, rank, alpha and the names of Linear modules. Out: PEFT's config, its layers in
the model, and its names for their weights. Names, start values and the layout of files come from
PEFT itself; a kind only says how its config is made, and nothing else in the library asks which
kind a module is of. Knows nothing of prompts, heads or training. Start at `PetKind`; a kind of your
own is one call of `register_pet`, which `check_adapter` then proves.

Configurations need the names alone, so torch and PEFT, which loads transformers, are imported where
they are used.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import TYPE_CHECKING

from conpet_lib.core.errors import ConpetError

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig
    from torch import Tensor, nn

    from conpet_lib.models.backbone import Backbone

    Weights = Mapping[str, Tensor]

# Linear modules that carry a PET module, by the last part of their name, as BERT calls them and as
# LLaMA does.
ROLES = {
    "query": ("query", "q_proj"),
    "key": ("key", "k_proj"),
    "value": ("value", "v_proj"),
    "attention output": ("attention.output.dense", "o_proj"),
    "MLP up projection": ("intermediate.dense", "up_proj"),
}
TARGETS = tuple(names[place] for place in (0, 1) for names in ROLES.values())
IN_A_PEFT_MODEL = "base_model.model."  # where PEFT's own wrapper keeps the model, in names of files


@dataclass(frozen=True, kw_only=True)
class PetKind:
    """A kind of PET module: how PEFT is told to make one.

    Attributes:
        name: What a configuration calls it, a key of `PETS`.
        title: What a reader calls it.
        make_config: PEFT's config from rank, alpha, the full names of the target modules and the
            name of the base model. All else in the config must be the same in every call.
        source: Paper that brought it.
        start: Own start values, from those of PEFT, by name, and a generator that is seeded for
            this module. None: PEFT's own, drawn under that seed.
        score_key: What scores depend on, beside names and values of the weights, as text or number;
            it keeps apart what caches hold. None: every setting of the config.
        zero_start: Whether all weights start at zero on purpose.
    """

    name: str
    title: str
    make_config: "Callable[[int, float, list[str], str], PeftConfig]"
    source: str
    start: "Callable[[Weights, torch.Generator], Weights] | None" = None
    score_key: "Callable[[PeftConfig], object] | None" = None
    zero_start: bool = False


def _lora_config(rank: int, alpha: float, targets: list[str], base: str) -> "PeftConfig":
    """PEFT's config of LoRA; its scale is alpha / rank."""
    from peft import LoraConfig

    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        target_modules=targets,
        inference_mode=True,
        base_model_name_or_path=base,
    )


def _lora_start(weights: "Weights", generator: "torch.Generator") -> "Weights":
    """A `(rank, in)` uniform as in nn.Linear, and B `(out, rank)` zero.

    PEFT starts them alike, but the draws here are those of the first runs of this library, and
    equal settings must give equal weights.
    """
    import torch

    started = dict(weights)
    for name, weight in weights.items():
        if weight.any():  # what PEFT starts at zero is B, and stays there
            bound = 1 / math.sqrt(weight.shape[1])
            drawn = torch.empty(weight.shape)
            started[name] = drawn.uniform_(-bound, bound, generator=generator)
    return started


PETS: dict[str, PetKind] = {
    "lora": PetKind(
        name="lora",
        title="LoRA",
        make_config=_lora_config,
        source="LoRA (arXiv 2106.09685)",
        start=_lora_start,
        # The rank is in the shapes, the targets are in the names of the weights.
        score_key=lambda config: config.lora_alpha,
    ),
}


def register_pet(kind: PetKind) -> None:
    """Make a kind known under its name; `PETS[name] = kind` does the same.

    Args:
        kind: It replaces a known one of the same name. `check_adapter` says whether it holds what
            the library relies on.
    """
    PETS[kind.name] = kind


def pet_kind(name: str) -> PetKind:
    """Find a kind by its name.

    Args:
        name: A key of `PETS`.

    Returns:
        The kind.

    Raises:
        ConpetError: If there is none of this name; it says which there are.
    """
    if name not in PETS:
        raise ConpetError(
            f"pet={name!r} is not a known kind of PET module. Known: {', '.join(sorted(PETS))}. "
            "This version trains LoRA alone and other kinds are not there yet; one of your own "
            "becomes known by register_pet, and check_adapter proves it."
        )
    return PETS[name]


def kind_of(config: "PeftConfig") -> PetKind:
    """Find the kind that makes configs such as this one.

    Args:
        config: PEFT's config of a module.

    Returns:
        The kind, which decides where the module starts and what its scores depend on.

    Raises:
        ConpetError: If no known kind makes such a config, or if two do.
    """
    differences = {name: _differences(config, kind) for name, kind in PETS.items()}
    makers = [name for name, settings in differences.items() if not settings]
    if len(makers) > 1:
        raise ConpetError(
            f"The kinds {' and '.join(map(repr, makers))} make the same config of PEFT, so modules "
            "cannot tell which of them they are. Keep one, or change a setting of its config."
        )
    if not makers:
        told = "; ".join(
            f"{', '.join(settings)}, unlike {name!r}" for name, settings in differences.items()
        )
        raise ConpetError(
            f"This {type(config).__name__} is not the config of a known kind of PET module ({told})"
            ". This version trains LoRA alone: make the config by backbone.pet('lora', rank, "
            "alpha), or make your own kind known by register_pet and prove it by check_adapter."
        )
    return PETS[makers[0]]


def _differences(config: "PeftConfig", kind: PetKind) -> list[str]:
    """The settings of a config that a kind would not have made, as `name=value`."""
    from peft import PeftConfig

    # What differs between two configs of a kind comes from rank, alpha or targets.
    one = kind.make_config(1, 1.0, [f"one.{target}" for target in TARGETS], "one")
    other = kind.make_config(2, 3.0, [f"other.{target}" for target in TARGETS], "other")
    if type(config) is not type(one):
        return [type(config).__name__]
    given = config.to_dict()
    varied = other.to_dict()
    notes = {field.name for field in fields(PeftConfig)}  # of no effect on what is computed
    return [
        f"{name}={given[name]!r}"
        for name, value in one.to_dict().items()
        if name not in notes and varied[name] == value and given[name] != value
    ]


def plain_settings(config: "PeftConfig") -> dict[str, object]:
    """Turn PEFT's config into what JSON can hold, the same in every process.

    Args:
        config: PEFT's config of a module.

    Returns:
        The settings of its adapter_config.json, in PEFT's order; sets are sorted lists.
    """
    settings: dict[str, object] = config.to_dict()
    for name, value in settings.items():
        if isinstance(value, Enum):
            settings[name] = value.value
        elif isinstance(value, (set, frozenset)):
            settings[name] = sorted(value)
    return settings


def full_names(backbone: "Backbone", targets: tuple[str, ...]) -> list[str]:
    """A model's names for the Linear modules of its tuned layers that are targets.

    In full, because PEFT's `layers_to_transform` does not match a bare LlamaModel, whose layer
    names have no prefix.

    Args:
        backbone: Whose model it is.
        targets: Linear modules, by the end of their names.

    Raises:
        ConpetError: If no Linear module has such a name.
    """
    ends = tuple(f".{target}" for target in targets)
    names: list[str] = []
    for number in range(backbone.boundary, backbone.exit_layer):
        prefix = f"{backbone.layers_name}.{number}."
        linears = own_linears(backbone.layers[number], prefix)
        names.extend(name for name, _ in linears if name.endswith(ends))
    if not names:
        there = ", ".join(sorted(name for name, _ in own_linears(backbone.layers[-1])))
        raise ConpetError(
            f"No Linear module is named {', '.join(targets)}; the layers of {backbone.name} have: "
            f"{there}. Say which with targets=."
        )
    return names


def own_linears(parent: "nn.Module", prefix: str = "") -> "Iterator[tuple[str, nn.Linear]]":
    """Give the model's own Linear modules, whatever PEFT has put around and into them.

    Args:
        parent: A part of a model.
        prefix: Put before each name.

    Yields:
        Names, by which the parent knows them without PEFT, and modules, in the parent's order.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch import nn

    for name, part in parent.named_children():
        own = part.get_base_layer() if isinstance(part, BaseTunerLayer) else part
        if isinstance(own, nn.Linear):
            yield prefix + name, own
        else:
            yield from own_linears(own, f"{prefix}{name}.")


def put_in(model: "nn.Module", config: "PeftConfig", seed: int, device: "torch.device") -> None:
    """Put PEFT's layers for a config into a model, with PEFT's start values of this seed.

    Args:
        model: It has none of PEFT's layers.
        config: PEFT's config; PEFT itself may shorten its list of targets.
        seed: Of the draws; torch's own generators are left where they were.
        device: Where the model is.

    Raises:
        ConpetError: If PEFT refuses the config for this model, or puts no weights in.
    """
    import torch
    from peft import inject_adapter_in_model

    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(config, model)
        except ValueError as error:
            raise ConpetError(
                f"PEFT cannot put the layers of this {type(config).__name__} into this model: "
                f"{error}"
            ) from error
    if not file_names(model):
        raise ConpetError(
            f"PEFT put no weights into the model for this {type(config).__name__}, so there is "
            "nothing to train. Let the kind's make_config name modules that PEFT can tune."
        )


def take_out(model: "nn.Module") -> None:
    """Give a model its own modules back, where PEFT's layers stand around them.

    Args:
        model: Changed in place.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, part in list(model.named_modules()):
        if isinstance(part, BaseTunerLayer):
            model.set_submodule(name, part.get_base_layer())
    vars(model).pop("peft_config", None)


def file_names(model: "nn.Module") -> dict[str, str]:
    """Name the weights of the PET module that is in a model, as PEFT's file does.

    Args:
        model: A model with PEFT's layers in it.

    Returns:
        For each weight, by the model's name for it, the name in adapter_model.safetensors.
    """
    from peft import get_peft_model_state_dict

    weights = dict(model.named_parameters())
    # Without the embeddings, for whose sake PEFT would ask the hub about the model.
    kept = get_peft_model_state_dict(model, state_dict=weights, save_embedding_layers=False)
    # PEFT gives back the very tensors under new names.
    name_in_file = {id(weight): IN_A_PEFT_MODEL + name for name, weight in kept.items()}
    return {
        name: name_in_file[id(weight)]
        for name, weight in weights.items()
        if id(weight) in name_in_file
    }
