"""Block: the batches of a stage gathered from memory, equal to those of the prefix cache."""

import numpy as np
import pytest
import torch
from conftest import make_module, make_stream, module_bytes, quick

import conpet_lib as cp
from conpet_lib.models import block, features
from conpet_lib.models.features import Features


@pytest.fixture
def rows_and_features(backbone, tmp_path):
    stream = make_stream(2)
    rows = np.array(stream[0].train.tolist() + stream[1].train.tolist())
    return rows, Features(stream.examples, stream.kind, backbone, tmp_path)


def read_alike(features: Features, rows: np.ndarray, module) -> None:
    """Batches out of memory and out of the cache, for rows in any order, some of them twice."""
    for batch in (rows[::-1], rows[[3, 3, 0]], rows[5:6]):
        for length in (0, 40):
            cached = features._batch(batch.tolist(), length, from_tokens=False)
            with features.held(rows, module):
                hits = features.prefixes.store.hits
                gathered = features._batch(batch.tolist(), length, from_tokens=False)
                assert features.prefixes.store.hits == hits
            for name in ("start", "real", "answer", "ids"):
                one, other = getattr(cached, name), getattr(gathered, name)
                assert one.dtype == other.dtype and torch.equal(one, other), name


def test_a_batch_out_of_memory_is_that_of_the_cache(rows_and_features):
    rows, features = rows_and_features
    read_alike(features, rows, make_module(features.backbone))


def test_states_that_half_precision_cannot_hold_are_kept_whole(rows_and_features, monkeypatch):
    rows, features = rows_and_features
    monkeypatch.setattr("conpet_lib.models.features.ROWS_A_READ", 4)  # several pieces
    compute = features.prefixes.compute

    def wide(prompts, length):
        states = compute(prompts, length)
        return [state.float() * 1e5 if len(state) % 2 else state for state in states]

    monkeypatch.setattr(features.prefixes, "compute", wide)
    read_alike(features, rows, make_module(features.backbone))


def test_a_row_that_is_not_held_is_read_from_the_cache(rows_and_features):
    rows, features = rows_and_features
    expected = features.top(rows.tolist())
    with features.held(rows[:3], make_module(features.backbone)):
        assert torch.equal(features.top(rows.tolist()), expected)
    assert features.block is None


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_a_stage_that_does_not_fit_into_memory_is_trained_alike(bert, tmp_path, monkeypatch, kind):
    stream = make_stream(2)
    held = cp.train(stream, bert, quick(kind), folder=tmp_path / "held", bar=False)
    monkeypatch.setattr(block, "HOST_BYTES", 0)
    monkeypatch.setattr(features, "Block", None)  # it must not be made
    read = cp.train(stream, bert, quick(kind), folder=tmp_path / "read", bar=False)
    assert module_bytes(held) == module_bytes(read)
