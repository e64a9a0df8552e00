"""Answers: from scores to the table, and what a module that was not active would have said."""

import numpy as np
import pytest
import torch
from conftest import make_learner, make_stream

from conpet_lib.learners.answers import answer_table, sum_by


def test_a_single_label_is_sure_and_has_all_of_the_margin():
    stream = make_stream(1, 1)
    table = answer_table(stream, [0], torch.tensor([[3.0], [-40.0], [0.0]]))
    assert table["predicted"].tolist() == [stream.labels[0]] * 3
    for column in ("confidence", "margin", "task_confidence"):
        assert table[column].tolist() == [1.0, 1.0, 1.0], column


def test_confidence_and_margin_are_those_of_labels_and_the_ranking_is_of_tasks():
    stream = make_stream(2, 2)
    # The best label is of task 1, but the two of task 2 together are more probable.
    likely = torch.tensor([[0.4, 0.0, 0.3, 0.3], [0.1, 0.6, 0.2, 0.1]]).clamp(min=1e-12)
    table = answer_table(stream, [1, 0], likely.log(), np.array([1, 1]))
    assert table["predicted"].tolist() == [stream.labels[0], stream.labels[1]]
    assert table["module"].tolist() == [1, 1]
    assert table["chosen_task"].tolist() == [2, 1]
    assert table["confidence"].tolist() == pytest.approx([0.4, 0.6])
    assert table["margin"].tolist() == pytest.approx([0.1, 0.4])
    assert table["task_confidence"].tolist() == pytest.approx([0.6, 0.7])
    assert table["ranking"].tolist() == [[2, 1], [1, 2]]
    assert table["within_task"].tolist() == [stream.labels[2]] * 2


def test_columns_are_summed_by_their_group():
    scores = torch.tensor([[1.0, 2.0, 4.0, 8.0]])
    assert sum_by(scores, np.array([0, 1, 0, 2])).tolist() == [[5.0, 2.0, 8.0]]


def test_a_row_that_the_selector_missed_has_its_own_modules_answer_within_its_task(bert):
    stream = make_stream(3, 3)
    learner = make_learner("dynamic", stream, bert, batch_limit=8)
    for stage in (1, 2, 3):
        learner.fit(stage)
    rows = np.concatenate([task.test for task in stream])
    tasks = np.repeat([0, 1, 2], [len(task.test) for task in stream])
    wrong = {int(row): (task + 1) % 3 for row, task in zip(rows, tasks)}

    def always_wrong(asked):
        return torch.eye(3)[[wrong[int(row)] for row in asked]]

    learner.selector.task_scores = always_wrong
    answers = learner.answer(rows, tasks)
    assert not answers["true_module_active"].any()
    own = []
    for row, task in zip(rows, tasks):
        module = learner.modules[task]
        best = int(learner.features.scores_of([row], module).argmax())
        own.append(stream.labels[module.owner[best]])
    for task in range(3):
        said = {label for label, of in zip(own, tasks) if of == task}
        assert len(said) > 1, "the module gives one label for all rows, which could be by chance"
    assert answers["within_task"].tolist() == own
    assert not (answers["predicted"] == answers["within_task"]).any()
