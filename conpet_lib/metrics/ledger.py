"""Ledger: formulas of the ledger of predictions.

In: the ledger, with one row per test example and stage. Out: numbers by stage, as parts of 1. Start
at `accuracy_matrix`.
"""

import numpy as np
import pandas as pd

MOST_BINS = 1_000_000


def checked_columns(predictions: pd.DataFrame, *names: str) -> pd.DataFrame:
    """A ledger that has these columns; whatever lacks one is refused.

    Args:
        predictions: The ledger.
        *names: Of the columns.
    """
    if not isinstance(predictions, pd.DataFrame):
        kind = type(predictions).__name__
        raise ValueError(f"predictions must be a ledger, as run.predictions is, and no {kind}.")
    there = [str(column) for column in predictions.columns]
    lacking = [name for name in names if not isinstance(name, str) or name not in there]
    if lacking:
        raise ValueError(f"predictions lacks the columns {', '.join(map(repr, lacking))}.")
    return predictions


def is_right(predictions: pd.DataFrame, answer: str = "predicted") -> pd.Series:
    """Whether an answer is the true label, for each row of the ledger.

    Args:
        predictions: The ledger; uses the columns `label` and `answer`.
        answer: The column with the answers: "predicted" for those among all labels seen,
            "within_task" for the best label within the true task.

    Returns:
        One bool per row.
    """
    ledger = checked_columns(predictions, "label", answer)
    return ledger["label"] == ledger[answer]


def accuracy_matrix(predictions: pd.DataFrame) -> pd.DataFrame:
    """The accuracy matrix R of a ledger.

    Args:
        predictions: The ledger; uses `stage`, `task`, `label` and `predicted`.

    Returns:
        `(stages, tasks)`, with the index "stage" and the columns "task", both from 1 to the last
        stage. A task without test rows is not a number, and so is a stage in which no task had any.
    """
    ledger = checked_columns(predictions, "stage", "task")
    cells = is_right(ledger).groupby([ledger["stage"], ledger["task"]])
    stages = stages_of(ledger)
    return cells.mean().unstack().reindex(index=stages, columns=stages.rename("task"))


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
    confidence = checked_columns(predictions, "task_confidence")["task_confidence"]
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
    ledger = checked_columns(predictions, "task", "chosen_task")
    return ledger["task"] == ledger["chosen_task"]


def _share_by_stage(holds: pd.Series, predictions: pd.DataFrame, name: str) -> pd.Series:
    """The part of the rows of each stage for which something holds; not a number without rows."""
    ledger = checked_columns(predictions, "stage")
    shares = holds.groupby(ledger["stage"]).mean().rename(name)
    return shares.reindex(stages_of(ledger))


def stages_of(predictions: pd.DataFrame) -> pd.Index:
    """All stages from 1 to the last, also one without test rows.

    Args:
        predictions: The ledger; uses `stage`.
    """
    stages = predictions["stage"]
    last = 0 if stages.empty else int(stages.max())
    return pd.Index(np.arange(1, last + 1), name="stage")
