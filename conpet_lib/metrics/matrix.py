"""Matrix: formulas of the accuracy matrix.

In: `R`, `(stages, tasks)`: `R[k, i]` is the accuracy, a part of 1, on the test rows of task i after
stage k, among all labels seen by then; not a number where i > k. Out: numbers, as parts of 1. T is
the number of tasks. Start at `average_accuracy` and `forgetting`.
"""

import numpy as np
import numpy.typing as npt

Matrix = npt.ArrayLike  # (stages, tasks): a DataFrame, an array or a list of lists


def _matrix(R: Matrix, name: str = "R") -> npt.NDArray[np.float64]:
    """An accuracy matrix as an array; whatever is none is refused."""
    try:
        matrix = np.asarray(R, dtype=float)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    # the last task alone may lack its column, where it has no test rows
    if matrix.ndim != 2 or not matrix.size or matrix.shape[1] < len(matrix) - 1:
        raise ValueError(
            f"{name} must be an accuracy matrix: numbers, a row per stage and a column per task."
        )
    return matrix


def average_accuracy(R: Matrix) -> npt.NDArray[np.float64]:
    """Average accuracy after each stage: A_k = mean over i <= k of R[k, i].

    It weighs tasks alike, where `whole_accuracy` weighs examples alike. A task without test rows is
    not a number in R, and is left out of the mean.

    Args:
        R: `(stages, tasks)` accuracy matrix.

    Returns:
        `(stages,)`.

    Source: Lopez-Paz and Ranzato 2017, ACC.
    """
    matrix = _matrix(R)
    averages = [_mean_of_tested(row[:stage]) for stage, row in enumerate(matrix, 1)]
    return np.array(averages)


def tested_tasks(R: Matrix) -> npt.NDArray[np.int64]:
    """Over how many tasks `average_accuracy` is the mean after each stage: those with test rows.

    Args:
        R: `(stages, tasks)` accuracy matrix.

    Returns:
        `(stages,)`; k after stage k where each task has test rows.
    """
    matrix = _matrix(R)
    counts = [np.count_nonzero(~np.isnan(row[:stage])) for stage, row in enumerate(matrix, 1)]
    return np.array(counts, dtype=np.int64)


def forgetting(R: Matrix) -> float:
    """Forgetting: F = mean over i < T of (max over i <= k < T of R[k, i]) - R[T, i].

    It starts from the best accuracy that a task had before the last stage, where
    `backward_transfer` starts from the accuracy at the task's own stage. Tasks without test rows
    are left out of the mean.

    Args:
        R: `(stages, tasks)` accuracy matrix.

    Returns:
        A number in [-1, 1], of which low is better; not a number if there is one stage.

    Source: Chaudhry et al. 2018, eq. 3.
    """
    matrix = _matrix(R)
    last = len(matrix) - 1
    if last == 0:
        return float("nan")
    losses = [np.max(matrix[task:last, task]) - matrix[last, task] for task in range(last)]
    return _mean_of_tested(np.array(losses))


def backward_transfer(R: Matrix) -> float:
    """Backward transfer: BWT = mean over i < T of R[T, i] - R[i, i].

    It starts from the accuracy at the task's own stage, where `forgetting` starts from the best one
    before the last stage, and its sign is the other way round.

    Args:
        R: `(stages, tasks)` accuracy matrix.

    Returns:
        A number in [-1, 1], below 0 if tasks were forgotten; not a number if there is one stage.

    Source: Lopez-Paz and Ranzato 2017, BWT.
    """
    matrix = _matrix(R)
    last = len(matrix) - 1
    own_stage = np.diag(matrix)[:last]
    return _mean_of_tested(matrix[last, :last] - own_stage)


def _mean_of_tested(values: npt.NDArray[np.float64]) -> float:
    """The mean of the numbers of tasks that have test rows; not a number if none has."""
    tested = values[~np.isnan(values)]
    return float(np.mean(tested)) if len(tested) else float("nan")


def intransigence(R: Matrix, joint: Matrix) -> float:
    """Intransigence: I = mean over k of J[k, k] - R[k, k].

    What continual learning of a new task costs against joint training. Forgetting is about old
    tasks; this is about the newest one.

    Args:
        R: `(stages, tasks)` accuracy matrix of the continual learner.
        joint: J, `(stages, tasks)`: the same of joint training on all tasks up to each stage.

    Returns:
        A number in [-1, 1], of which low is better. Tasks without test rows are left out of the
        mean.

    Source: Chaudhry et al. 2018, eq. 4, as a mean over tasks.
    """
    continual = _matrix(R)
    jointly = _matrix(joint, "joint")
    if continual.shape != jointly.shape:
        raise ValueError(f"R is of shape {continual.shape}, joint of {jointly.shape}.")
    learned = np.diag(continual)
    learned_jointly = np.diag(jointly)
    return _mean_of_tested(learned_jointly - learned)
