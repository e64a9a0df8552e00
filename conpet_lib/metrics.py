"""Metrics: pure functions of the accuracy matrix and of predictions; they know nothing of how these came about.
In: `R`, `(stages, tasks)`: `R[k, i]` is the accuracy, a part of 1, on task i's test rows after stage k, among all
labels seen by then; not a number where i > k. Or the ledger of predictions, a row a test example and stage. Out:
numbers. Forward transfer has no meaning here: a class-incremental learner has no output for labels not met yet."""

import numpy as np
import pandas as pd


def is_right(predictions: pd.DataFrame, answer: str = "predicted") -> pd.Series:
    """Whether the label in the column `answer` is the true one, for each row of the ledger."""
    return predictions["label"] == predictions[answer]


def accuracy_matrix(predictions: pd.DataFrame) -> pd.DataFrame:
    """R from the ledger: `(stages, tasks)`, index "stage" and columns "task", both from 1."""
    return (
        is_right(predictions).groupby([predictions["stage"], predictions["task"]]).mean().unstack()
    )


def average_accuracy(R: np.ndarray) -> np.ndarray:
    """`(stages,)`: A_k = mean over i <= k of R[k, i]. Weighs tasks alike. Source: Lopez-Paz and Ranzato 2017, ACC."""
    return np.array([np.mean(row[:k]) for k, row in enumerate(np.asarray(R, dtype=float), 1)])


def whole_accuracy(predictions: pd.DataFrame) -> pd.Series:
    """One number a stage: the part of all test rows seen that is right. Weighs examples alike; equals average accuracy
    where all tasks have as many test rows. Source: "whole accuracy" of ConPET."""
    return is_right(predictions).groupby(predictions["stage"]).mean().rename("whole_accuracy")


def forgetting(R: np.ndarray) -> float:
    """F = mean over i < T of (max over i <= k < T of R[k, i]) - R[T, i], in [-1, 1], low is better; NaN for one stage.
    It starts from a task's best accuracy, backward transfer from its first. Source: Chaudhry et al. 2018, eq. 3."""
    R, last = np.asarray(R, dtype=float), len(R) - 1
    return (
        float(np.mean([np.max(R[i:last, i]) - R[last, i] for i in range(last)]))
        if last
        else float("nan")
    )


def backward_transfer(R: np.ndarray) -> float:
    """BWT = mean over i < T of R[T, i] - R[i, i]; < 0 if forgotten, NaN for one stage. Lopez-Paz and Ranzato 2017."""
    R, last = np.asarray(R, dtype=float), len(R) - 1
    return float(np.mean(R[last, :last] - np.diag(R)[:last])) if last else float("nan")


def intransigence(R: np.ndarray, joint: np.ndarray) -> float:
    """I = mean over k of J[k, k] - R[k, k]: what continual learning of a task costs against joint training; `joint`,
    `(stages, tasks)`, is of training on all tasks up to each stage. Source: Chaudhry et al. 2018, eq. 4, over tasks."""
    return float(
        np.mean(np.diag(np.asarray(joint, dtype=float)) - np.diag(np.asarray(R, dtype=float)))
    )


def selector_accuracy(predictions: pd.DataFrame) -> pd.Series:
    """One number a stage: the part of test rows whose chosen task (without a selector: that of the label) is right."""
    right = predictions["task"] == predictions["chosen_task"]
    return right.groupby(predictions["stage"]).mean().rename("selector_accuracy")


def oracle_accuracy(predictions: pd.DataFrame) -> pd.Series:
    """One number a stage: accuracy if the right task were always chosen; an upper bound of Dynamic with k = 1."""
    return (
        is_right(predictions, "within_task")
        .groupby(predictions["stage"])
        .mean()
        .rename("oracle_accuracy")
    )


def error_split(predictions: pd.DataFrame) -> pd.DataFrame:
    """What became of each test row, as parts of 1; a row a stage, columns adding up to 1: `right`; `wrong module`: the
    true task's module was not active; `wrong label`: it was, but gives another label of the task; `lost in the
    softmax`: it gives the right label within the task, but a label of another task scored higher (with k = 1 that task
    has the same module). Bounds beside it: `oracle_accuracy`, `selector_accuracy`."""
    names = pd.Index(["right", "wrong module", "wrong label", "lost in the softmax"])
    kind = np.select(
        [
            is_right(predictions),
            ~predictions["true_module_active"],
            ~is_right(predictions, "within_task"),
        ],
        names[:3],
        names[3],
    )
    return pd.crosstab(predictions["stage"], kind, normalize="index").reindex(
        columns=names, fill_value=0.0
    )


def calibration(predictions: pd.DataFrame, bins: int = 10) -> pd.DataFrame:
    """A row a bin of the selector's confidence: `confidence`, `accuracy` of chosen tasks, `rows`. Guo et al. 2017."""
    sure, right = predictions["task_confidence"], predictions["task"] == predictions["chosen_task"]
    table = pd.DataFrame({"confidence": sure, "accuracy": right, "rows": 1})
    place = np.minimum((sure * bins).astype(int), bins - 1).rename("bin")
    return table.groupby(place).agg({"confidence": "mean", "accuracy": "mean", "rows": "sum"})
