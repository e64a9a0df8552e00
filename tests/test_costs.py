"""Costs: operations against a hand count, and stages that cost the same."""

import pytest
from conftest import MAIN, make_module, make_stream, quick

import conpet_lib as cp
from conpet_lib.costs import operations

COUNTS = {"prefix_tokens": 10, "top_tokens": 7, "top_rows": 3, "head_scores": 5,
          "top_tokens_trained": 6, "top_rows_trained": 2, "head_scores_trained": 4}


@pytest.mark.parametrize("family, layer, exit_all", [
    ("bert", 4 * 16 * 16 + 2 * 16 * 32, 2 * 16 * 16),          # query, key, value, output; up, down
    ("llama", 2 * 16 * 16 + 2 * 16 * 8 + 3 * 16 * 32, 2 * 16 * 8)])     # one key head for two; gate, up, down
@pytest.mark.parametrize("with_module", [False, True])
def test_operations_agree_with_a_count_by_hand(tiny_models, family, layer, exit_all, with_module):
    backbone = cp.load_backbone(tiny_models[family], tuned_layers=2, exit_layer=3, device="cpu")
    if with_module:
        make_module(backbone)                              # PEFT's layers in the model add nothing
    weights_a_token, weights_a_row = layer + exit_all, layer - exit_all     # one whole layer, one for the answer row
    assert operations(backbone, COUNTS) == {
        "prefix": 2 * layer * 10,
        "top": 2 * (weights_a_token * 7 + weights_a_row * 3), "head": 2 * 16 * 5,
        "top_trained": 2 * 2 * (weights_a_token * 6 + weights_a_row * 2), "head_trained": 3 * 2 * 16 * 4}


@pytest.mark.parametrize("kind", MAIN)
def test_every_stage_from_the_second_on_trains_on_as_many_rows(kind, bert, tmp_path):
    run = cp.train(make_stream(4), bert, quick(kind, epochs=1), folder=tmp_path, bar=False)
    parts = 2 if kind == "dynamic" else 1
    stages = [[entry for entries in run.record["ledgers"].values() for entry in entries if entry["stage"] == stage]
              for stage in (2, 3, 4)]
    for cost, entries in zip(run.costs[1:], stages, strict=True):
        assert cost["counts"]["top_rows_trained"] == sum(entry["rows_with_gradient"] for entry in entries)
        assert [entry["steps"] for entry in entries] == [4] * parts
    assert len({cost["counts"]["top_rows_trained"] for cost in run.costs[1:]}) == 1
    assert len({tuple(entry["rows"] for entry in entries) for entries in stages}) == 1


def test_every_stage_records_seconds_memory_passes_and_operations(learned):
    for run in learned.values():
        assert [cost["stage"] for cost in run.costs] == [1, 2, 3]
        for cost in run.costs:
            assert {"prefix", "module", "evaluation"} <= set(cost["wall"]) and min(cost["wall"].values()) >= 0
            assert min(cost["cpu"].values()) >= 0 and sum(cost["cpu"].values()) > 0
            assert min(cost["host"].values()) > 2**20
            assert cost["operations"]["top_trained"] > cost["operations"]["head_trained"] > 0
            assert cost["operations"]["prefix"] > 0 and cost["counts"]["prefix_misses"] > 0
    assert ["selector" in cost["wall"] for cost in learned["dynamic"].costs] == [False, True, True]
