"""Repairs of a selector from kept scores: end points are the run itself, the rest by hand."""

import numpy as np
import pytest
import torch

import conpet_lib as cp
from conpet_lib.analysis.chances import fitted_prior
from conpet_lib.analysis.repair import SelectorBench, choose_by_doubt
from conpet_lib.learners.dynamic import FLOOR

CHANCES = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]])


@pytest.fixture
def bench(learned, learnable):
    return cp.selector_bench(learned["dynamic"], learnable)


@pytest.fixture
def by_hand():
    """Three modules of one label each; the right ones are 1, 1 and 2."""
    scores = torch.tensor([[3.0, 2.0, 1.0], [0.0, 1.0, 2.0], [0.0, 5.0, 1.0]])
    return SelectorBench(CHANCES, scores, torch.tensor([1, 1, 2]), torch.arange(3), (1.0,) * 3)


def test_without_repair_the_answers_are_the_runs_own(bench, learned, learnable):
    run = learned["dynamic"]
    last = run.predictions[run.predictions["stage"] == run.record.stages_done]
    tried = bench.try_out()
    assert tried["accuracy"] == pytest.approx((last["label"] == last["predicted"]).mean())
    assert tried["module right"] == pytest.approx((last["task"] == last["chosen_task"]).mean())
    assert (tried["answered"], tried["modules"]) == (1, 1)


def test_at_the_end_of_the_reach_all_modules_answer_to_the_bit(bench):
    assert bench.try_out(reach=1.0)["modules"] == bench.chances.shape[1]
    every = choose_by_doubt(bench.chances, 1.0)
    masked = bench.scores.masked_fill(~every[:, bench.module_of_label], FLOOR)
    assert torch.equal(masked, bench.scores)
    one = choose_by_doubt(bench.chances, 0.0)
    assert torch.equal(one, torch.nn.functional.one_hot(bench.chances.argmax(1), 3).bool())


@pytest.mark.parametrize(
    ("reach", "wanted"),
    [
        (0.0, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (0.5, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (0.6, [[1, 1, 0], [0, 1, 0], [0, 0, 1]]),
        (0.85, [[1, 1, 1], [1, 1, 0], [0, 0, 1]]),
        (1.0, [[1, 1, 1], [1, 1, 1], [1, 1, 1]]),
    ],
)
def test_as_many_modules_are_active_as_reach_the_probability(reach, wanted):
    assert choose_by_doubt(CHANCES, reach).int().tolist() == wanted


def test_a_prior_moves_the_choice_and_a_temperature_alone_does_not(by_hand):
    assert by_hand.try_out()["module right"] == pytest.approx(2 / 3)
    assert by_hand.try_out(prior=[1, 2, 1])["module right"] == 1
    assert by_hand.try_out(prior=[1, 1, 100])["module right"] == pytest.approx(1 / 3)
    for temperature in (0.2, 5.0):
        assert by_hand.try_out(temperature=temperature)["module right"] == pytest.approx(2 / 3)


def test_a_higher_temperature_is_more_doubt(by_hand):
    cold, warm = (by_hand.try_out(temperature=t, reach=0.7)["modules"] for t in (0.2, 5.0))
    assert cold < warm


def test_rows_that_are_not_sure_enough_are_not_answered(by_hand):
    tried = by_hand.try_out(least=0.75)
    assert tried["answered"] == pytest.approx(2 / 3)
    assert tried["accuracy"] == 1  # of rows 2 and 3
    assert np.isnan(by_hand.try_out(prior=[1, 1, 1], temperature=50, least=0.99)["accuracy"])


def test_a_fitted_prior_gives_each_module_its_share_of_the_rows():
    right = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    weights = fitted_prior(torch.full((100, 3), 1 / 3), right)
    assert np.array(weights) / sum(weights) == pytest.approx([0.6, 0.3, 0.1], abs=1e-3)
    assert np.mean(weights) == pytest.approx(1)
    assert fitted_prior(torch.zeros(0, 3), right[:0]) == (1, 1, 1)


def test_a_frontier_goes_from_one_module_to_all(bench):
    frontier = bench.frontier(5)
    assert list(frontier.index) == [0, 0.25, 0.5, 0.75, 1]
    assert frontier["modules"].is_monotonic_increasing
    assert frontier["modules"].iloc[[0, -1]].tolist() == [1, 3]


@pytest.mark.parametrize("wrong", [[1, 1], [1, 0, 1], [1, -1, 1], [1, float("nan"), 1]])
def test_a_prior_that_is_none_is_refused(by_hand, wrong):
    with pytest.raises(cp.ConpetError, match="prior"):
        by_hand.try_out(prior=wrong)
