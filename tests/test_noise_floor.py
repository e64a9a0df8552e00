"""Noise floor: how far equal settings may lie apart."""

import random
from dataclasses import replace

import pytest
import torch
from conftest import make_corpus, make_stream, quick

import conpet_lib as cp
from conpet_lib.analysis.noise_floor import NoiseFloor
from conpet_lib.runs.clock import same_kernels
from conpet_lib.streams.stream import Stream


def test_in_single_precision_on_a_cpu_nothing_differs(bert):
    floor = cp.noise_floor(make_stream(3), bert, quick("dynamic"))
    assert floor == NoiseFloor(average_accuracy=0.0, task_accuracy=0.0, answers=0.0)


def without_meaning(rows: int) -> Stream:
    """Labels that nothing in the texts tells, so that many scores are nearly level."""
    corpus = make_corpus(4, rows)
    labels = [example.label for example in corpus.examples]
    random.Random(0).shuffle(labels)
    shuffled = [replace(example, label=label) for example, label in zip(corpus.examples, labels)]
    counts = {"train": rows // 2, "valid": rows // 4, "test": rows // 4}
    return cp.make_stream(replace(corpus, examples=shuffled), 2, 2, **counts)


def test_in_bfloat16_some_answers_differ(tiny_models):
    rounded = cp.load_backbone(tiny_models["bert"], 2, device="cpu", dtype="bfloat16")
    floor = cp.noise_floor(without_meaning(80), rounded, quick())
    assert floor.answers > 0
    assert floor.task_accuracy >= floor.average_accuracy


def test_a_step_in_pieces_gives_the_same_weights_up_to_rounding(bert, tmp_path):
    runs = [
        cp.train(make_stream(2), bert, quick(), 0, tmp_path / str(pieces), bar=False, pieces=pieces)
        for pieces in (1, 3, 100)
    ]
    counted = [run.costs[-1]["counts"]["top_rows_trained"] for run in runs]
    assert len(set(counted)) == 1
    first, *others = (run.learner.modules[0].state_dict() for run in runs)
    for other in others:
        assert all(torch.allclose(first[name], other[name], atol=1e-4) for name in first)


def test_on_a_gpu_torch_is_asked_for_the_same_bits_and_left_as_it_was():
    before = torch.are_deterministic_algorithms_enabled()
    with same_kernels(torch.device("cuda")):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert torch.are_deterministic_algorithms_enabled() == before
    with same_kernels(torch.device("cpu")):
        assert torch.are_deterministic_algorithms_enabled() == before


def test_a_loss_that_compares_rows_is_refused(bert):
    with pytest.raises(cp.ConpetError, match="compares the rows of a batch"):
        cp.noise_floor(make_stream(2), bert, quick("crl"))
