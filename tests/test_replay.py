"""Replay: what a stage draws, how often and at what cost, and what a memory keeps.

A stage costs the same however much has been seen.
"""

import numpy as np
import pytest

from conpet_lib.learners.choosing import CHOOSERS, herding, k_means
from conpet_lib.learners.replay import dynamic_replay, spread, validation_rows

NEW = np.arange(100)


def past(*sizes: int) -> list[np.ndarray]:
    """Rows of past tasks: task i has the numbers from 1000 (i + 1) on."""
    return [np.arange(size) + 1000 * (task + 1) for task, size in enumerate(sizes)]


def draw(history=(), limit=7, seed=0, size=16, share=0.5, new=NEW):
    return dynamic_replay(
        new, history, size, share if len(history) else 1.0, limit, np.random.default_rng(seed)
    )


def far_from_even(counts: np.ndarray) -> float:
    """Chi-squared against equal shares, in standard deviations above its mean."""
    expected, freedom = counts.sum() / len(counts), len(counts) - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom))


@pytest.mark.parametrize("tasks", [0, 1, 4, 19])
@pytest.mark.parametrize("rows", [3, 900])
def test_a_stage_takes_as_many_rows_however_long_the_stream_and_large_its_tasks(tasks, rows):
    assert [len(batch) for batch in draw(past(*[rows] * tasks))] == [16] * 7


@pytest.mark.parametrize(
    "share, news", [(0.5, 8), (0.25, 4), (1.0, 16), (0.01, 1), (0.3, 5), (0.6, 10), (0.1, 2)]
)
def test_each_later_batch_has_its_share_of_new_rows_and_the_first_stage_only_new_ones(share, news):
    assert [(batch < 1000).sum() for batch in draw(past(50, 5), share=share)] == [news] * 7
    assert [(batch < 1000).sum() for batch in draw(share=share)] == [16] * 7


def test_a_past_task_is_drawn_evenly_and_then_a_row_of_it_so_that_small_tasks_are_not_drowned():
    old = np.concatenate(draw(past(10, 50, 500), limit=1000))
    old = old[old >= 1000]
    assert abs(far_from_even(np.bincount(old // 1000 - 1, minlength=3))) < 4
    for task, size in enumerate((10, 50, 500), 1):
        assert abs(far_from_even(np.bincount(old[old // 1000 == task] % 1000, minlength=size))) < 4


@pytest.mark.parametrize("rows", [5, 100, 700])
def test_new_rows_come_in_whole_passes_so_that_an_epoch_covers_the_task(rows):
    drawn = np.concatenate(draw(past(50), limit=30, new=np.arange(rows)))
    counts = np.bincount(drawn[drawn < 1000], minlength=rows)
    assert counts.sum() == 30 * 8 and counts.max() - counts.min() <= 1


@pytest.mark.parametrize("limit", [7, None])
def test_the_same_generator_gives_the_same_batches_and_another_does_not(limit):
    one, same, other = (draw(past(50, 5), limit, seed) for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("sizes", [(), (7,), (50, 5, 300)])
def test_limitless_is_one_pass_over_all_rows_seen(sizes):
    batches = draw(past(*sizes), limit=None)
    assert sorted(np.concatenate(batches)) == sorted(np.concatenate([NEW, *past(*sizes)]))
    assert {len(batch) for batch in batches[:-1]} == {16} and 0 < len(batches[-1]) <= 16


def test_a_share_without_history_leaves_the_place_of_old_rows_empty():
    batches = dynamic_replay(NEW, [], 16, 0.5, 7, np.random.default_rng(0))
    assert [len(batch) for batch in batches] == [8] * 7 and np.concatenate(batches).max() < 1000


@pytest.mark.parametrize(
    "count, each", [(30, [5, 12, 13]), (6, [2, 2, 2]), (0, [0, 0, 0]), (999, [5, 40, 300])]
)
def test_a_validation_set_has_bounded_distinct_rows_spread_over_tasks(count, each):
    rows = spread(past(5, 40, 300), count, np.random.default_rng(0))
    assert len(set(rows)) == len(rows) == min(count, 345)
    assert sorted(np.bincount(rows // 1000, minlength=4)[1:]) == each


def test_k_means_keeps_the_nearest_row_to_each_centre():
    clouds = np.random.default_rng(0).normal(size=(30, 4)) * 0.1
    clouds[:15] += 5  # two clouds, the second has a lone third point
    clouds[29] -= 20
    kept = k_means(clouds, 3, np.random.default_rng(1))
    for rows in (range(15), range(15, 29), (29,)):
        (chosen,) = set(kept) & set(rows)
        centre = clouds[list(rows)].mean(0)
        assert chosen == min(rows, key=lambda row: np.linalg.norm(clouds[row] - centre))
    assert kept[-1] == 29  # the smallest cluster is dropped first


def test_herding_follows_the_mean_better_than_chance():
    features, generator = np.random.default_rng(0).normal(size=(40, 5)), np.random.default_rng(1)

    def error(places):
        return np.linalg.norm(features[places].mean(0) - features.mean(0))

    kept = herding(features, 8, generator)
    assert error(kept) < min(error(generator.permutation(40)[:8]) for _ in range(200))
    assert kept[0] == np.linalg.norm(features - features.mean(0), axis=1).argmin()


@pytest.mark.parametrize("name", CHOOSERS)
def test_a_chooser_gives_different_rows_and_the_same_again(name):
    features = np.random.default_rng(0).normal(size=(20, 3))
    kept = [CHOOSERS[name](features, 6, np.random.default_rng(5)).tolist() for _ in range(2)]
    assert kept[0] == kept[1] and len(set(kept[0])) == 6 and set(kept[0]) <= set(range(20))


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.parametrize("name", CHOOSERS)
def test_a_chooser_gives_different_rows_also_where_features_repeat(name):
    features = np.repeat(np.eye(3), 5, axis=0)
    assert len(set(CHOOSERS[name](features, 6, np.random.default_rng(0)).tolist())) == 6


@pytest.mark.parametrize(
    "count, new, old", [(12, 6, 6), (7, 4, 3), (1, 1, 0), (2, 1, 1), (400, 100, 35)]
)
def test_half_of_the_validation_rows_are_new_and_the_rest_spread_over_past_tasks(count, new, old):
    rows = validation_rows(NEW, past(30, 5), count, np.random.default_rng(0))
    assert len(set(rows)) == len(rows) == new + old
    assert (rows < 1000).sum() == new
    of_each_task = np.bincount(rows[rows >= 1000] // 1000 - 1, minlength=2)
    assert of_each_task[1] in (min(5, old // 2), min(5, -(-old // 2)))
    alone = validation_rows(NEW, [], count, np.random.default_rng(0))
    assert len(alone) == new
