"""Forgetting taken apart: is what was lost outvoted, misrouted, confused or gone?

In: a run and its stream. Out: a table. Start at `forgetting_split`.
"""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from conpet_lib import metrics
from conpet_lib.core.arguments import checked
from conpet_lib.core.errors import ConpetError
from conpet_lib.learners.base import Learner
from conpet_lib.learners.exact import Ridge
from conpet_lib.learners.exact_head import ExactHead, best_solution
from conpet_lib.learners.replay import Rows
from conpet_lib.learners.static import StaticConPET
from conpet_lib.runs.run import Run
from conpet_lib.streams.stream import Stream


@checked
def forgetting_split(run: Run, stream: Stream) -> pd.DataFrame:
    """What became of the rows that were right once and are wrong after the last stage.

    Args:
        run: Any run.
        stream: What it was trained on.

    Returns:
        A row per task: parts of its test rows, as `metrics.forgetting_split` gives them.

    Raises:
        ConpetError: If it is another stream.
    """
    found = _found_again(run, stream)
    split = metrics.forgetting_split(run.predictions, found["within"])
    return split.loc[run.record.stages_done]


@checked
def lost_rows(run: Run, stream: Stream) -> pd.DataFrame:
    """The test rows that were right once and are wrong after the last stage, and why.

    Args:
        run: Any run.
        stream: What it was trained on.

    Returns:
        A row per lost row: task, key, label, now (what it is taken for), cause, and recovered:
        whether an exact head gives its label among all labels of the module of its task.

    Raises:
        ConpetError: If it is another stream.
    """
    ledger = run.predictions.rename(columns={"predicted": "now"})
    found = _found_again(run, stream)
    causes = metrics.forgetting_causes(run.predictions, found["within"])
    last = ledger["stage"] == run.record.stages_done
    lost = ledger.assign(cause=causes, recovered=found["among all"])[last & (causes != "")]
    return lost[["task", "key", "label", "now", "cause", "recovered"]].reset_index(drop=True)


def _found_again(run: Run, stream: Stream) -> pd.DataFrame:
    """For each row of the ledger, whether an exact head finds its label, in two columns.

    `within` is among the labels of its task, `among all` among those of the module; both are False
    after earlier stages.

    What each module's head reads, as it is after the last stage, is given to an exact head
    over the training rows of all tasks of that module. A lost row that is wrong within its own
    task is `confused` if this head gets it right there, and `gone` if it does not.
    """
    if run.record.stream.fingerprint != stream.fingerprint:
        raise ConpetError(
            f"{run.folder} was trained on another stream. Give the one that `train` was given."
        )
    ledger = run.predictions
    last = ledger["stage"] == run.record.stages_done
    if not last.any():
        raise ConpetError(
            "The tasks of this stream have no test rows: make it with test=1 or more."
        )
    learner = run.reading(stream.examples)
    found = pd.DataFrame(False, ledger.index, ["within", "among all"])
    keys = {stream.examples[row].key: row for task in stream for row in task.test}
    rows = np.array([keys[key] for key in ledger.loc[last, "key"]], dtype=np.int64)
    found.loc[last, "within"], found.loc[last, "among all"] = _found(learner, stream, rows)
    return found


def _found(learner: Learner, stream: Stream, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Whether an exact head under a row's module is right within its task, and among all labels."""
    numbers = stream.label_numbers(rows)
    task_of_row = stream.task_of_label[numbers]
    module_of_row = np.array(learner.module_of_task)[task_of_row]
    within = np.zeros(len(rows), dtype=bool)
    among_all = within.copy()
    for number in np.unique(module_of_row):
        mine = np.flatnonzero(module_of_row == number)
        scores = _exact_scores(learner, stream, int(number), rows[mine])
        other_task = torch.from_numpy(stream.task_of_label[None] != task_of_row[mine][:, None])
        own = scores.masked_fill(other_task[:, : scores.shape[1]], -torch.inf)
        within[mine] = own.argmax(1).numpy() == numbers[mine]
        among_all[mine] = scores.argmax(1).numpy() == numbers[mine]
    return within, among_all


def _exact_scores(learner: Learner, stream: Stream, number: int, rows: Rows) -> Tensor:
    """`(rows, seen_labels)`: an exact head on the features under a module of all its tasks."""
    tasks = [task for task, owner in zip(stream, learner.module_of_task) if owner == number]

    def seen(side: str) -> tuple[Tensor, Tensor]:
        own = np.concatenate([task.rows(side) for task in tasks])
        labels = torch.from_numpy(stream.label_numbers(own))
        return _head_features(learner, own, number), labels

    features, labels = seen("train")
    head = ExactHead(features.shape[1])
    head.add(features, labels)
    solution, _ = best_solution(head, *seen("valid"))
    return solution.scores(_head_features(learner, rows, number))


def _head_features(learner: Learner, rows: Rows, number: int) -> Tensor:
    """What the head of a module reads, `(rows, width)`."""
    module = learner.modules[number]
    if isinstance(learner, Ridge):
        return learner.features_for(rows)
    if isinstance(learner, StaticConPET):
        return learner.head_features(rows, module)
    return learner.features.features_of(rows, module)
