"""A dry run: the numbers of a model that is not here, and of one that is."""

import pytest
import torch
from conftest import make_stream, quick
from transformers import BertConfig, LlamaConfig

import conpet_lib as cp

ALL_LAYERS = {"exit_layer": 32, "tuned_layers": "all"}
QUERY_AND_VALUE = ("q_proj", "v_proj")


def test_llama_7b_has_the_weights_that_the_authors_count():
    config = cp.StaticConfig(rank=4, targets=QUERY_AND_VALUE)
    counted = cp.dry_run(LlamaConfig(), make_stream(2), config, **ALL_LAYERS)
    assert counted.weights == 6_738_415_616
    assert counted.module_weights == 2_097_152
    assert counted.ratio > 3_000
    half = cp.dry_run(LlamaConfig(), make_stream(2), config, exit_layer=16, tuned_layers=2)
    assert half.module_weights == 2_097_152 * 2 // 32
    # embeddings, sixteen layers and the last norm, two bytes each
    layer = 4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096
    assert half.backbone_bytes == 2 * (32_000 * 4096 + 16 * layer + 4096)


@pytest.mark.parametrize(
    "config",
    [quick("static"), quick("dynamic"), quick("dynamic", selector="exact"), quick("ridge")],
    ids=lambda config: f"{config.learner}",
)
def test_what_is_counted_is_what_a_run_does(bert, tmp_path, config):
    stream = make_stream(3)
    run = cp.train(stream, bert, config, folder=tmp_path / "run", bar=False)
    counted = cp.dry_run(
        bert.model.config, stream, config, tuned_layers=2, tokens=12, dtype="float32"
    )
    predicted = cp.forecast(stream, bert, config, calibrate=False)
    assert counted.trained_parameters == run.record.trained_weights
    assert counted.disk_bytes == pytest.approx(predicted.bytes_per_task * 3)
    total = sum(sum(cost["operations"].values()) for cost in run.costs)
    assert counted.operations == pytest.approx(total, rel=0.5)


def test_minutes_are_operations_at_a_rate():
    counted = cp.dry_run(BertConfig(), make_stream(2), quick(), rate=1e9)
    assert counted.minutes == counted.operations / 1e9 / 60
    assert cp.dry_run(BertConfig(), make_stream(2), quick()).minutes is None


def test_longer_prompts_and_wider_types_take_more():
    few = cp.dry_run(BertConfig(), make_stream(2), quick(), tokens=20)
    many = cp.dry_run(BertConfig(), make_stream(2), quick(), tokens=40)
    wide = cp.dry_run(BertConfig(), make_stream(2), quick(), tokens=20, dtype="float32")
    assert many.operations > 1.9 * few.operations
    assert many.cache_bytes == 2 * few.cache_bytes
    assert wide.backbone_bytes == 2 * few.backbone_bytes
    assert wide.training_bytes > few.training_bytes


def test_nothing_is_allocated(monkeypatch):
    counted = cp.dry_run(LlamaConfig(), make_stream(2), quick(), exit_layer=2)
    assert counted.backbone_bytes > 10**9
    assert torch.tensor(0).device.type == "cpu"  # the default device is what it was


@pytest.mark.parametrize(
    "wrong, words",
    [({"dtype": "int8"}, "use 'bfloat16' or 'float32'"), ({"exit_layer": 99}, "exit_layer")],
)
def test_what_cannot_be_is_refused(wrong, words):
    with pytest.raises(cp.ConpetError, match=words):
        cp.dry_run(BertConfig(), make_stream(2), quick(), **wrong)
