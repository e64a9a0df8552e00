"""Shapes: a model without its weights, as far as it can be counted.

In: a config of transformers. Out: a model, or a backbone, on torch's device "meta", which has
shapes and no numbers. May import `backbone` and `loading`. Start at `backbone_without_weights`.
"""

from typing import Any

import torch
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel

from conpet_lib.core.errors import ConpetError
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.loading import read_pretrained


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


def backbone_without_weights(
    about: PretrainedConfig,
    name: str,
    exit_layer: int | None = None,
    tuned_layers: int | str = 1,
    dtype: str = "float32",
) -> Backbone:
    """A backbone that has shapes and no numbers; nothing can be computed with it.

    Args:
        about: A config of transformers.
        name: What it is called.
        exit_layer: As for `load_backbone`; default: the last layer.
        tuned_layers: As for `load_backbone`, or "all".
        dtype: "float32" or "bfloat16".

    Returns:
        The backbone, on the device "meta", without a tokenizer.
    """
    last: int = about.num_hidden_layers
    device = torch.device("meta")
    model = built(AutoModel, about)
    depth = last if exit_layer is None else exit_layer
    kind = getattr(torch, dtype)
    return Backbone(name, model, None, depth, tuned_layers, device, kind)


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
