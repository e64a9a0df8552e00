"""Fates: what became of the test rows, and of those that were right once.

In: the ledger of predictions. Out: parts of 1, by stage. Start at `error_split`.
"""

import numpy as np
import pandas as pd

from conpet_lib.metrics.ledger import checked_columns, is_right, stages_of

# What can become of a test row, in the order in which `error_split` lists it.
FATES = ("right", "wrong module", "wrong label", "lost in the softmax")
REST = "wrong within its task"  # lost, and neither misrouted nor outvoted


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
    checked_columns(predictions, "stage", "true_module_active")
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
    return all_fates.reindex(stages_of(predictions))


def forgetting_split(predictions: pd.DataFrame, recovered: pd.Series | None = None) -> pd.DataFrame:
    """What became of the test rows that were right at some stage and are wrong after a later one.

    Args:
        predictions: As for `forgetting_causes`.
        recovered: As for `forgetting_causes`.

    Returns:
        A row per stage and task seen, in the index: parts of the task's test rows, `lost` first,
        then the causes that it is the sum of.
    """
    causes = forgetting_causes(predictions, recovered)
    names = ["outvoted", "misrouted"]
    names += [REST] if recovered is None else ["confused", "gone"]
    parts = pd.DataFrame({"lost": causes != "", **{name: causes == name for name in names}})
    return parts.groupby([predictions["stage"], predictions["task"]]).mean()


def forgetting_causes(predictions: pd.DataFrame, recovered: pd.Series | None = None) -> pd.Series:
    """Why each row of the ledger is lost, that was right after an earlier stage.

    The cause is the first of these that holds: `misrouted`, the module of its task was not active;
    `outvoted`, it is right among the labels of its own task, but a label of another task scores
    higher; `confused`, the features still tell it apart, but the head does not; `gone`, not even
    that. Without `recovered` the last two are one, `wrong within its task`.

    Args:
        predictions: The ledger; uses `stage`, `key`, `task`, `label`, `predicted`, `within_task`
            and `true_module_active`.
        recovered: For each row of the ledger, whether an exact head on the features of the modules
            as they are after its stage gives the right label within the true task.

    Returns:
        A text for each row; "" for one that is not lost.
    """
    names = ("stage", "key", "task", "within_task", "true_module_active")
    ledger = checked_columns(predictions, *names)
    if recovered is None:
        rest = pd.Series(REST, ledger.index)
    elif isinstance(recovered, pd.Series) and recovered.dtype == bool:
        if not recovered.index.equals(ledger.index):
            raise ValueError("recovered must have the index of the ledger.")
        rest = recovered.map({True: "confused", False: "gone"})
    else:
        raise ValueError("recovered must be a Series of true or false, one for each ledger row.")
    right = is_right(ledger)
    in_order = ledger.assign(right=right).sort_values("stage", kind="stable")
    once = in_order.groupby(["task", "key"])["right"].cummax().reindex(ledger.index)
    causes = rest.mask(is_right(ledger, "within_task"), "outvoted")
    causes = causes.mask(~ledger["true_module_active"], "misrouted")
    return causes.where(once & ~right, "").rename("cause")
