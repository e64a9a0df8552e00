"""Usage: floating-point operations against a count by hand."""

import pytest
from conftest import make_module

import conpet_lib as cp
from conpet_lib.models.usage import operations

COUNTS = {
    "prefix_tokens": 10,
    "state_tokens": 9,
    "top_tokens": 7,
    "top_rows": 3,
    "head_scores": 5,
    "top_tokens_trained": 6,
    "top_rows_trained": 2,
    "head_scores_trained": 4,
}


@pytest.mark.parametrize(
    "family, layer, exit_all",
    [
        # query, key, value, output; up, down
        ("bert", 4 * 16 * 16 + 2 * 16 * 32, 2 * 16 * 16),
        # one key head for two; gate, up, down
        ("llama", 2 * 16 * 16 + 2 * 16 * 8 + 3 * 16 * 32, 2 * 16 * 8),
    ],
)
@pytest.mark.parametrize("with_module", [False, True])
def test_operations_agree_with_a_count_by_hand(tiny_models, family, layer, exit_all, with_module):
    backbone = cp.load_backbone(tiny_models[family], tuned_layers=2, exit_layer=3, device="cpu")
    if with_module:
        make_module(backbone)  # PEFT's layers in the model add nothing
    # one whole layer, one for the answer row
    weights_a_token = layer + exit_all
    weights_a_row = layer - exit_all
    assert operations(backbone, COUNTS) == {
        "prefix": 2 * layer * 10,
        "states": 2 * 3 * layer * 9,
        "top": 2 * (weights_a_token * 7 + weights_a_row * 3),
        "head": 2 * 16 * 5,
        "top_trained": 2 * 2 * (weights_a_token * 6 + weights_a_row * 2),
        "head_trained": 3 * 2 * 16 * 4,
    }
