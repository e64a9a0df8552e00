"""Usage: how many floating-point operations passes took.

In: a backbone, and counts of rows and tokens. Out: plain numbers. May import `backbone`,
`answer_rows` and `adapters`. Knows nothing of learners or runs. Start at `operations`.
"""

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
        Operations by part: "prefix"; "top" and "head", and with gradients "top_trained" and
        "head_trained".
    """
    layers = backbone.layers
    boundary = backbone.boundary
    exit_all = _weights(layers[-1:], ALL_TOKENS if backbone.answer_row is not None else ("",))
    for_each_token = _weights(layers[boundary:-1]) + exit_all
    for_each_row = _weights(layers[-1:]) - exit_all
    prefix = _weights(layers[:boundary]) * counts.get("prefix_tokens", 0)
    result = {"prefix": FORWARD * prefix}
    for ending, top, head in (("", FORWARD, FORWARD), ("_trained", trained, HEAD_TRAINED)):
        tokens = counts.get(f"top_tokens{ending}", 0)
        rows = counts.get(f"top_rows{ending}", 0)
        scores = counts.get(f"head_scores{ending}", 0)
        result[f"top{ending}"] = top * (for_each_token * tokens + for_each_row * rows)
        result[f"head{ending}"] = head * backbone.hidden_size * scores
    return result


def _weights(layers: nn.Module, ends: tuple[str, ...] = ("",)) -> int:
    """Weights of the Linear modules whose names have such an end; by default of all."""
    return sum(part.weight.numel() for name, part in own_linears(layers) if name.endswith(ends))
