"""Ways to choose: what the run itself answered, bounds, and a map, on a tiny backbone."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_stream, quick

import conpet_lib as cp
from conpet_lib import metrics


def last(run):
    return run.predictions.query("stage == stage.max()")


def test_the_selectors_row_is_the_runs_own_accuracy_and_the_oracle_its_bound(learned, learnable):
    run = learned["dynamic"]
    table = cp.compare_selectors(run, learnable)
    assert table.loc["selector", "1 active"] == pytest.approx(
        metrics.is_right(last(run)).mean(), abs=1e-6
    )
    assert table.loc["selector", "module right"] == pytest.approx(
        last(run)["true_module_active"].mean(), abs=1e-6
    )
    assert table.loc["oracle", "1 active"] == pytest.approx(
        metrics.is_right(last(run), "within_task").mean(), abs=1e-6
    )
    assert table.loc["oracle", "module right"] == 1 == table["module right"].max()


def test_with_all_modules_active_the_choice_does_not_matter(learned, learnable):
    table = cp.compare_selectors(learned["dynamic"], learnable)
    assert list(table.columns) == ["module right", "1 active", "2 active", "3 active"]
    assert table["3 active"].nunique() == 1 and table["1 active"].nunique() > 1


def test_k_means_with_a_prototype_a_label_is_no_worse_than_a_random_choice(learned, learnable):
    table = cp.compare_selectors(learned["dynamic"], learnable)
    assert (
        table.loc[["class means", "k-means prototypes"], "module right"].min()
        > table.loc["random", "module right"]
    )


def test_random_choices_are_those_of_the_seed(learned, learnable):
    run = learned["dynamic"]
    one, same, other = (
        cp.compare_selectors(run, learnable, seed=seed).loc["random"] for seed in (0, 0, 3)
    )
    assert one.equals(same) and not one.equals(other)


def test_points_are_the_test_rows_with_the_surest_first_and_centred_directions(learned, learnable):
    points = cp.selector_points(learned["dynamic"], learnable)
    assert sorted(points["key"]) == sorted(last(learned["dynamic"])["key"])
    assert points["task_confidence"].is_monotonic_decreasing
    assert (
        np.allclose(points[["x", "y"]].mean(), 0, atol=1e-4)
        and points["x"].var() >= points["y"].var()
    )
    assert (
        abs(np.corrcoef(points["x"], points["y"])[0, 1]) < 1e-3
    )  # main directions are uncorrelated
    assert len(cp.plots.selector_map(points, marked=0).collections) > len(
        cp.plots.selector_map(points).collections
    )


@pytest.mark.parametrize("inspect", [cp.compare_selectors, cp.selector_points])
def test_another_stream_and_a_run_without_a_selector_are_refused(learned, learnable, inspect):
    with pytest.raises(cp.ConpetError, match="another stream"):
        inspect(learned["dynamic"], make_stream(2))
    with pytest.raises(cp.ConpetError, match="no selector"):
        inspect(learned["static"], learnable)


@pytest.mark.parametrize("inspect", [cp.compare_selectors, cp.selector_points])
def test_a_stream_without_test_rows_is_refused_in_words(inspect, bert, tmp_path):
    stream = make_stream(2)
    untested = tuple(replace(task, test=task.test[:0]) for task in stream)
    stream = replace(stream, tasks=untested)
    run = cp.train(stream, bert, quick("dynamic"), folder=tmp_path / "run", bar=False)
    with pytest.raises(cp.ConpetError, match="no test rows"):
        inspect(run, stream)
