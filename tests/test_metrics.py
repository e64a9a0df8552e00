"""Metrics: each on a matrix or ledger small enough to work by hand."""

import numpy as np
import pandas as pd
import pytest
from pytest import approx

from conpet_lib import metrics

nan = float("nan")
R = [[0.9, nan, nan], [0.6, 0.8, nan], [0.7, 0.5, 0.4]]  # R[k, i]: accuracy on task i after stage k


def ledger(*rows: tuple) -> pd.DataFrame:
    """Rows of stage, task, label, predicted label, chosen task, best label within the true task,
    confidence, and whether the true module was active."""
    return pd.DataFrame(
        rows,
        columns=[
            "stage",
            "task",
            "label",
            "predicted",
            "chosen_task",
            "within_task",
            "task_confidence",
            "true_module_active",
        ],
    )


# Stage 2: task 1 has one test row, task 2 has four.
LEDGER = ledger(
    (1, 1, "a", "a", 1, "a", 0.99, True),
    (2, 1, "a", "c", 2, "a", 0.55, False),  # wrong module
    (2, 2, "c", "c", 2, "c", 0.95, True),  # right
    (2, 2, "c", "c", 1, "c", 0.58, True),  # right, though another task came first
    (2, 2, "d", "c", 2, "c", 1.0, True),  # wrong label
    (2, 2, "d", "a", 2, "d", 0.91, True),  # lost in the softmax
)


def test_the_accuracy_matrix_has_a_row_a_stage_a_column_a_task_and_no_number_above_the_diagonal():
    matrix = metrics.accuracy_matrix(LEDGER)
    assert matrix.index.tolist() == matrix.columns.tolist() == [1, 2]
    np.testing.assert_allclose(matrix, [[1, nan], [0, 2 / 4]])


def test_average_accuracy_is_the_mean_over_the_tasks_seen():
    assert metrics.average_accuracy(R) == approx([0.9, (0.6 + 0.8) / 2, (0.7 + 0.5 + 0.4) / 3])


def test_whole_accuracy_weighs_examples_where_average_accuracy_weighs_tasks():
    assert metrics.whole_accuracy(LEDGER).to_dict() == approx({1: 1, 2: 2 / 5})
    assert metrics.average_accuracy(metrics.accuracy_matrix(LEDGER))[-1] == approx((0 + 2 / 4) / 2)


def test_whole_and_average_accuracy_agree_where_tasks_have_as_many_rows():
    rng = np.random.default_rng(0)
    rows = ledger(
        *[
            (3, task, "a", rng.choice(["a", "b"]), 1, "a", 0.5, True)
            for task in (1, 2, 3)
            for _ in range(20)
        ]
    )
    assert metrics.whole_accuracy(rows)[3] == approx(metrics.accuracy_matrix(rows).loc[3].mean())


def test_forgetting_starts_from_the_best_earlier_accuracy_and_transfer_from_the_first():
    recovered = [[0.6, nan, nan], [0.9, 0.8, nan], [0.7, 0.5, 0.4]]
    assert metrics.forgetting(R) == approx(((0.9 - 0.7) + (0.8 - 0.5)) / 2)
    assert metrics.backward_transfer(R) == approx(((0.7 - 0.9) + (0.5 - 0.8)) / 2)
    assert metrics.forgetting(recovered) == approx(((0.9 - 0.7) + (0.8 - 0.5)) / 2)
    assert metrics.backward_transfer(recovered) == approx(((0.7 - 0.6) + (0.5 - 0.8)) / 2)
    assert metrics.forgetting([[0.5, nan], [0.9, 0.4]]) == approx(
        0.5 - 0.9
    )  # the last stage is not an earlier one


@pytest.mark.parametrize("metric", [metrics.forgetting, metrics.backward_transfer])
def test_one_stage_can_forget_nothing(metric):
    assert np.isnan(metric([[0.9]]))


def test_intransigence_is_what_joint_training_has_more_of_on_each_new_task():
    joint = [[0.9, nan, nan], [0.1, 0.9, nan], [0.1, 0.1, 0.7]]
    assert metrics.intransigence(R, joint) == approx(((0.9 - 0.9) + (0.9 - 0.8) + (0.7 - 0.4)) / 3)


def test_selector_and_oracle_accuracy_ask_for_the_task_and_for_the_label_within_it():
    assert metrics.selector_accuracy(LEDGER).to_dict() == approx({1: 1, 2: 3 / 5})
    assert metrics.oracle_accuracy(LEDGER).to_dict() == approx({1: 1, 2: 4 / 5})


def test_the_error_split_gives_each_row_one_fate_and_adds_to_one():
    split = metrics.error_split(LEDGER)
    assert split.loc[2].to_dict() == approx(
        {"right": 2 / 5, "wrong module": 1 / 5, "wrong label": 1 / 5, "lost in the softmax": 1 / 5}
    )
    assert split.loc[1].to_dict() == approx(
        {"right": 1, "wrong module": 0, "wrong label": 0, "lost in the softmax": 0}
    )
    second = LEDGER.assign(chosen_task=1)  # the true module came second and was active all the same
    assert metrics.error_split(second).loc[2].to_dict() == split.loc[2].to_dict()
    rng = np.random.default_rng(0)
    many = ledger(
        *[
            (stage, *rng.integers(1, 4, size=5), 0.5, bool(rng.integers(2)))
            for stage in (1, 2, 3)
            for _ in range(50)
        ]
    )
    assert metrics.error_split(many).sum(axis=1).tolist() == approx([1, 1, 1])


def test_calibration_sets_confidence_beside_accuracy_bin_by_bin():
    table = metrics.calibration(LEDGER[LEDGER["stage"] == 2])
    assert table["rows"].to_dict() == {5: 2, 9: 3}  # .55 and .58; .95, 1.0 and .91
    assert table["accuracy"].to_dict() == approx({5: 0, 9: 1})
    assert table["confidence"].to_dict() == approx({5: (0.55 + 0.58) / 2, 9: (0.95 + 1 + 0.91) / 3})
    assert metrics.calibration(LEDGER, bins=2)["rows"].to_dict() == {1: 6}


def test_a_task_without_test_rows_is_left_out_of_every_mean():
    nan = float("nan")
    R = [[0.9, nan, nan], [0.6, nan, nan], [0.5, nan, 0.7]]
    assert metrics.average_accuracy(R) == pytest.approx([0.9, 0.6, (0.5 + 0.7) / 2])
    assert metrics.forgetting(R) == pytest.approx(0.9 - 0.5)
    assert metrics.backward_transfer(R) == pytest.approx(0.5 - 0.9)
    assert np.isnan(metrics.forgetting([[nan, nan], [nan, nan]]))
    assert metrics.tested_tasks(R).tolist() == [1, 1, 2]
    joint = [[0.9, nan, nan], [0.9, nan, nan], [0.9, nan, 0.9]]
    assert metrics.intransigence(R, joint) == pytest.approx((0.0 + 0.2) / 2)


def test_stages_in_which_no_task_has_test_rows_keep_their_place():
    late = ledger(
        (3, 3, "e", "e", 3, "e", 0.9, True),
        (4, 3, "e", "g", 4, "e", 0.9, False),
        (4, 4, "g", "g", 4, "g", 0.9, True),
    )
    R = metrics.accuracy_matrix(late)
    assert R.shape == (4, 4) and list(R.index) == list(R.columns) == [1, 2, 3, 4]
    assert (R.index.name, R.columns.name) == ("stage", "task")
    assert R.loc[3, 3] == 1 and R.loc[4].tolist()[2:] == [0, 1] and R[[1, 2]].isna().all(axis=None)
    assert metrics.average_accuracy(R)[2:] == approx([1, 0.5])
    assert metrics.forgetting(R) == metrics.forgetting([[1.0, float("nan")], [0.0, 1.0]]) == 1
    for measure in (metrics.whole_accuracy, metrics.selector_accuracy, metrics.oracle_accuracy):
        values = measure(late)
        assert list(values.index) == [1, 2, 3, 4] and values[[1, 2]].isna().all()
    split = metrics.error_split(late)
    assert list(split.index) == [1, 2, 3, 4] and split.loc[[1, 2]].isna().all(axis=None)
    assert split.loc[4].to_dict() == approx(
        {"right": 0.5, "wrong module": 0.5, "wrong label": 0, "lost in the softmax": 0}
    )


def test_where_the_true_module_was_not_active_the_fate_is_the_wrong_module_whatever_else_is_wrong():
    missed = ledger(
        (1, 1, "a", "c", 2, "b", 0.6, False),  # within its own task, too, it would have been wrong
        (1, 1, "a", "c", 2, "a", 0.6, False),
        (1, 1, "a", "b", 1, "b", 0.6, True),
        (1, 1, "a", "c", 1, "b", 0.6, True),
    )
    assert metrics.error_split(missed).loc[1].to_dict() == approx(
        {"right": 0, "wrong module": 2 / 4, "wrong label": 2 / 4, "lost in the softmax": 0}
    )
