"""Metrics: formulas of the accuracy matrix and of the ledger of predictions.

In: `R`, `(stages, tasks)`: `R[k, i]` is the accuracy, a part of 1, on the test rows of task i after
stage k, among all labels seen by then; not a number where i > k. Or the ledger of predictions, with
one row per test example and stage. Out: numbers, as parts of 1. T is the number of tasks.

The functions are pure: they import nothing of the library and know nothing of how a matrix or a
ledger came about; what is none is refused by a ValueError. Forward transfer has no meaning here,
because a class-incremental learner has no output for labels that it has not met yet. Start at
`average_accuracy` and `forgetting`.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

Matrix = npt.ArrayLike  # (stages, tasks): a DataFrame, an array or a list of lists

MOST_BINS = 1_000_000

# What can become of a test row, in the order in which `error_split` lists it.
FATES = ("right", "wrong module", "wrong label", "lost in the softmax")


def _columns(predictions: pd.DataFrame, *names: str) -> pd.DataFrame:
    """A ledger that has these columns; whatever lacks one is refused."""
    if not isinstance(predictions, pd.DataFrame):
        kind = type(predictions).__name__
        raise ValueError(f"predictions must be a ledger, as run.predictions is, and no {kind}.")
    there = [str(column) for column in predictions.columns]
    lacking = [name for name in names if not isinstance(name, str) or name not in there]
    if lacking:
        raise ValueError(f"predictions lacks the columns {', '.join(map(repr, lacking))}.")
    return predictions


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


def is_right(predictions: pd.DataFrame, answer: str = "predicted") -> pd.Series:
    """Whether an answer is the true label, for each row of the ledger.

    Args:
        predictions: The ledger; uses the columns `label` and `answer`.
        answer: The column with the answers: "predicted" for those among all labels seen,
            "within_task" for the best label within the true task.

    Returns:
        One bool per row.
    """
    ledger = _columns(predictions, "label", answer)
    return ledger["label"] == ledger[answer]


def accuracy_matrix(predictions: pd.DataFrame) -> pd.DataFrame:
    """The accuracy matrix R of a ledger.

    Args:
        predictions: The ledger; uses `stage`, `task`, `label` and `predicted`.

    Returns:
        `(stages, tasks)`, with the index "stage" and the columns "task", both from 1 to the last
        stage. A task without test rows is not a number, and so is a stage in which no task had any.
    """
    ledger = _columns(predictions, "stage", "task")
    cells = is_right(ledger).groupby([ledger["stage"], ledger["task"]])
    stages = _stages(ledger)
    return cells.mean().unstack().reindex(index=stages, columns=stages.rename("task"))


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


def whole_accuracy(predictions: pd.DataFrame) -> pd.Series:
    """The part of all test rows seen that is right, after each stage.

    It weighs examples alike, where `average_accuracy` weighs tasks alike; the two are equal where
    all tasks have the same number of test rows.

    Args:
        predictions: The ledger; uses `stage`, `label` and `predicted`.

    Returns:
        One number per stage, named "whole_accuracy".

    Source: "whole accuracy" of ConPET (arXiv 2309.14763).
    """
    return _share_by_stage(is_right(predictions), predictions, "whole_accuracy")


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


def selector_accuracy(predictions: pd.DataFrame) -> pd.Series:
    """The part of test rows whose chosen task is right, after each stage.

    Without a selector the chosen task is that of the predicted label.

    Args:
        predictions: The ledger; uses `stage`, `task` and `chosen_task`.

    Returns:
        One number per stage, named "selector_accuracy".
    """
    return _share_by_stage(_is_task_right(predictions), predictions, "selector_accuracy")


def oracle_accuracy(predictions: pd.DataFrame) -> pd.Series:
    """Accuracy if the right task were always chosen, after each stage.

    An upper bound of Dynamic ConPET with k = 1.

    Args:
        predictions: The ledger; uses `stage`, `label` and `within_task`.

    Returns:
        One number per stage, named "oracle_accuracy".
    """
    return _share_by_stage(is_right(predictions, "within_task"), predictions, "oracle_accuracy")


def error_split(predictions: pd.DataFrame) -> pd.DataFrame:
    """What became of the test rows of each stage, as parts of 1.

    `right`: the label is right. `wrong module`: the true task's module was not active.
    `wrong label`: it was active, but gives another label of the task. `lost in the softmax`: it
    gives the right label within the task, but a label of another task scored higher (with k = 1
    that task has the same module). The bounds beside it are `oracle_accuracy` and
    `selector_accuracy`.

    Args:
        predictions: The ledger; uses `stage`, `label`, `predicted`, `within_task` and
            `true_module_active`.

    Returns:
        One row per stage and one column per fate; each row adds up to 1, or is not a number where
        the stage has no test rows.
    """
    _columns(predictions, "stage", "true_module_active")
    right, wrong_module, wrong_label, lost = FATES
    # the first that holds is a row's fate
    fate = np.select(
        [
            is_right(predictions),
            ~predictions["true_module_active"],
            ~is_right(predictions, "within_task"),
        ],
        [right, wrong_module, wrong_label],
        default=lost,
    )
    shares = pd.crosstab(predictions["stage"], fate, normalize="index")
    all_fates = shares.reindex(columns=pd.Index(FATES), fill_value=0.0)
    return all_fates.reindex(_stages(predictions))


def forgetting_split(predictions: pd.DataFrame, recovered: pd.Series | None = None) -> pd.DataFrame:
    """What became of the test rows that were right at some stage and are wrong after a later one.

    A lost row is the first of these that holds: `misrouted`, the module of its task was not active;
    `outvoted`, it is right among the labels of its own task, but a label of another task scores
    higher; `confused`, the features still tell it apart, but the head does not; `gone`, not even
    that. Without `recovered` the last two are one column, `wrong within its task`.

    Args:
        predictions: The ledger; uses `stage`, `key`, `task`, `label`, `predicted`, `within_task`
            and `true_module_active`.
        recovered: For each row of the ledger, whether an exact head on the features of the modules
            as they are after its stage gives the right label within the true task.

    Returns:
        A row per stage and task seen, in the index: parts of the task's test rows, `lost` first,
        then what it is the sum of.
    """
    names = ("stage", "key", "task", "within_task", "true_module_active")
    ledger = _columns(predictions, *names)
    right = is_right(ledger)
    in_order = ledger.assign(right=right).sort_values("stage", kind="stable")
    once = in_order.groupby(["task", "key"])["right"].cummax().reindex(ledger.index)
    lost = once & ~right
    misrouted = lost & ~ledger["true_module_active"]
    outvoted = lost & ~misrouted & is_right(ledger, "within_task")
    rest = lost & ~misrouted & ~outvoted
    parts = {"lost": lost, "outvoted": outvoted, "misrouted": misrouted}
    if recovered is None:
        parts["wrong within its task"] = rest
    elif isinstance(recovered, pd.Series) and recovered.dtype == bool:
        if not recovered.index.equals(ledger.index):
            raise ValueError("recovered must have the index of the ledger.")
        parts |= {"confused": rest & recovered, "gone": rest & ~recovered}
    else:
        raise ValueError("recovered must be a Series of true or false, one for each ledger row.")
    return pd.DataFrame(parts).groupby([ledger["stage"], ledger["task"]]).mean()


def calibration(predictions: pd.DataFrame, bins: int = 10) -> pd.DataFrame:
    """How often the chosen task is right, beside how sure the selector was.

    Args:
        predictions: The ledger; uses `task`, `chosen_task` and `task_confidence`.
        bins: Number of bins of equal width between the confidences 0 and 1.

    Returns:
        One row per bin that has rows, numbered from 0: `confidence` (mean), `accuracy` of the
        chosen tasks, and `rows`.

    Source: Guo et al. 2017, reliability diagram.
    """
    confidence = _columns(predictions, "task_confidence")["task_confidence"]
    is_whole = isinstance(bins, (int, np.integer)) and not isinstance(bins, bool)
    if not is_whole or not 1 <= bins <= MOST_BINS:
        raise ValueError(f"bins must be a whole number from 1 to {MOST_BINS:,}.")
    table = pd.DataFrame(
        {"confidence": confidence, "accuracy": _is_task_right(predictions), "rows": 1}
    )
    bin_of_row = (confidence * bins).astype(int)
    bin_of_row = np.minimum(bin_of_row, bins - 1).rename("bin")  # a confidence of 1 is in the last
    return table.groupby(bin_of_row).agg({"confidence": "mean", "accuracy": "mean", "rows": "sum"})


def _is_task_right(predictions: pd.DataFrame) -> pd.Series:
    """Whether the chosen task is the true one, for each row of the ledger."""
    ledger = _columns(predictions, "task", "chosen_task")
    return ledger["task"] == ledger["chosen_task"]


def _share_by_stage(holds: pd.Series, predictions: pd.DataFrame, name: str) -> pd.Series:
    """The part of the rows of each stage for which something holds; not a number without rows."""
    ledger = _columns(predictions, "stage")
    shares = holds.groupby(ledger["stage"]).mean().rename(name)
    return shares.reindex(_stages(ledger))


def _stages(predictions: pd.DataFrame) -> pd.Index:
    """All stages from 1 to the last, also one without test rows."""
    stages = predictions["stage"]
    last = 0 if stages.empty else int(stages.max())
    return pd.Index(np.arange(1, last + 1), name="stage")
