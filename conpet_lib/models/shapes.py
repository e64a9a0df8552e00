"""Shapes: a model without its weights, as far as it can be counted.

In: a config of transformers. Out: a backbone on torch's device "meta", which has shapes and no
numbers. May import `backbone` and `reading`. Start at `backbone_without_weights`.
"""

import torch
from transformers import AutoModel, PretrainedConfig

from conpet_lib.models.backbone import Backbone
from conpet_lib.models.reading import built


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
