"""Repairs of a selector from kept scores: end points are the run itself, the rest by hand."""

import numpy as np
import pytest
import torch

import conpet_lib as cp
from conpet_lib.analysis.chances import fitted_prior
from conpet_lib.analysis.repair import SelectorBench, choose_by_doubt
from conpet_lib.learners.dynamic import FLOOR
from conpet_lib.learners.selector import choose_active

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


@pytest.mark.parametrize(("reach", "active"), [(0.0, 1), (1.0, 3)])
def test_the_ends_of_the_reach_are_one_and_all_active_modules_to_the_bit(
    reach, active, bench, learned, learnable
):
    learner = learned["dynamic"].reading(learnable.examples)
    rows = np.concatenate([task.test for task in learnable])
    chosen = choose_active(bench.chances, active)
    logits = learner.scores_of_active(rows, chosen).cpu()
    hidden = ~choose_by_doubt(bench.chances, reach)[:, bench.module_of_label]
    assert torch.equal(bench.scores.masked_fill(hidden, FLOOR), logits)
    right = (logits.argmax(1) == bench.labels).float().mean().item()
    tried = bench.try_out(reach=reach)
    assert (tried["accuracy"], tried["modules"]) == (right, active)


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
