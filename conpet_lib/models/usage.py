"""Costs: what a stage spends, and what a run will, in time, memory, parameters, passes and operations.
In: the steps that a learner tells and the counts of its features; or a stream, a backbone, a config. Out: plain
numbers. May import `learners` and `runs`. Start at `forecast`, and `Clock` for what was spent.
"""

from collections import Counter

import torch

from conpet_lib.models.answer_rows import ALL_TOKENS, ANSWER_ROW
from conpet_lib.models.backbone import Backbone


def operations(backbone: Backbone, counts: dict, trained: float = 4.0) -> dict[str, float]:
    """Floating-point operations of prefix, top and head, from counts of rows and tokens. A Linear of n weights costs 2n
    a token, a multiplication and an addition each; attention scores and mixing, below a tenth at these lengths, are
    left out, as is the embedding. `trained` is for a weight of a top with gradients: 4, there and back through
    activations; 6 in full tuning; 2 below a lone head. The short form reads all tokens for keys and values only.
    """

    def linear(layers, ends: str | tuple[str, ...] = ""):
        return sum(
            part.weight.numel()
            for name, part in layers.named_modules()
            if isinstance(part, torch.nn.Linear)
            and "lora_" not in name
            and name.removesuffix(".base_layer").endswith(ends)
        )

    layers, counts, exit_layer = backbone.layers, Counter(counts), backbone.layers[-1]
    exit_all = linear(exit_layer, ALL_TOKENS if type(exit_layer) in ANSWER_ROW else "")
    token, row = linear(layers[backbone.boundary : -1]) + exit_all, linear(exit_layer) - exit_all
    found = {"prefix": 2.0 * linear(layers[: backbone.boundary]) * counts["prefix_tokens"]}
    for kind, top, head in (("", 2.0, 2.0), ("_trained", trained, 6.0)):
        found["top" + kind] = top * (
            token * counts[f"top_tokens{kind}"] + row * counts[f"top_rows{kind}"]
        )
        found["head" + kind] = head * backbone.hidden_size * counts[f"head_scores{kind}"]
    return found
