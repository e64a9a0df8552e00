"""Memory: how many rows a fixed memory keeps of each label, and what is planned of it."""

import numpy as np
import pytest
from conftest import make_learner, make_stream

BRIEF = {"batch_limit": 1, "epochs": 1}


@pytest.mark.parametrize("kind", ["emr", "ea-emr", "crl"])
@pytest.mark.parametrize(
    "in_all, of_each_label", [(12, [6, 3, 2]), (7, [3, 1, 1]), (9, [4, 2, 1]), (2, [1, 1, 1])]
)
def test_a_memory_of_one_size_is_shared_out_evenly_with_at_least_a_row_each(
    kind, in_all, of_each_label, bert
):
    learner = make_learner(kind, make_stream(3, 2), bert, memory_in_all=in_all, **BRIEF)
    for stage, count in enumerate(of_each_label, 1):
        learner.fit(stage)
        labels = learner.stream.label_numbers(learner.memory)
        assert learner.budget(stage) == count
        assert np.bincount(labels).tolist() == [count] * (2 * stage)
        assert learner.replayable_rows(stage + 1) == len(learner.memory), "not as it was planned"
    assert learner.history_rows() == len(learner.memory)


def test_a_memory_has_no_more_rows_than_there_are_and_before_the_first_stage_none(bert):
    learner = make_learner("emr", make_stream(2, 2), bert, memory=100, **BRIEF)
    assert learner.replayable_rows(1) == len(learner.memory) == 0
    for stage in (1, 2):
        learner.fit(stage)
        seen = np.concatenate([task.train for task in learner.stream[:stage]])
        assert sorted(learner.memory) == sorted(seen)
        assert learner.replayable_rows(stage + 1) == len(seen)
