"""Usage: how many floating-point operations passes took.

In: a backbone, and counts of rows and tokens. Out: plain numbers. May import `backbone`,
`answer_rows` and `adapters`. Knows nothing of learners or runs. Start at `operations`.
"""

from collections import Counter
from collections.abc import Mapping

from torch import nn

from conpet_lib.models.adapters import own_linears
from conpet_lib.models.answer_rows import ALL_TOKENS
from conpet_lib.models.backbone import Backbone

FORWARD = 2.0  # operations of a weight for one token: a multiplication and an addition
HEAD_TRAINED = 6.0  # forward, and back to the weights and to the features


def operations(
    backbone: Backbone, counts: Mapping[str, int], trained: float = 4.0
) -> dict[str, float]:
    """Count the floating-point operations of prefix, top and head.

    A Linear of n weights costs 2n a token, a multiplication and an addition each. Attention scores
    and mixing are left out, which are below a tenth at these lengths, as is the embedding. The
    short form of the exit layer reads all tokens for keys and values only. What PEFT puts in is not
    counted.

    Args:
        backbone: What was run.
        counts: As `Features.counts` has them; what is missing is 0.
        trained: For a weight of a top with gradients: 4, there and back through activations; 6 in
            full tuning; 2 below a lone head.

    Returns:
        Operations by part: "prefix"; "states", of passes through all layers that keep the states
        at the answer; "top" and "head", and with gradients "top_trained" and
        "head_trained".
    """
    counted = Counter(counts)
    below = backbone.layers[: backbone.boundary]
    between = backbone.layers[backbone.boundary : -1]
    exit_layer = backbone.layers[-1]
    exit_tokens = _weights(exit_layer)  # of the exit layer, those that run over all tokens
    if backbone.answer_row is not None:
        exit_tokens = _weights(exit_layer, ALL_TOKENS)
    per_token = _weights(between) + exit_tokens
    per_row = _weights(exit_layer) - exit_tokens
    result = {"prefix": FORWARD * _weights(below) * counted["prefix_tokens"]}
    result["states"] = FORWARD * _weights(backbone.layers) * counted["state_tokens"]
    for ending, in_top, in_head in (("", FORWARD, FORWARD), ("_trained", trained, HEAD_TRAINED)):
        tokens = counted[f"top_tokens{ending}"]
        rows = counted[f"top_rows{ending}"]
        scores = counted[f"head_scores{ending}"]
        result[f"top{ending}"] = in_top * (per_token * tokens + per_row * rows)
        result[f"head{ending}"] = in_head * backbone.hidden_size * scores
    return result


def _weights(part: nn.Module, ends: tuple[str, ...] = ("",)) -> int:
    """Weights of the Linear modules whose names have such an end; by default of all."""
    count = 0
    for name, linear in own_linears(part):
        if name.endswith(ends):
            features = getattr(linear, "in_features", None)
            # a weight that is quantized is packed
            count += features * linear.out_features if features else linear.weight.numel()
    return count
