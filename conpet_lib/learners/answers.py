"""Answers: from scores to the table that every learner gives.

In: `(rows, seen_labels)` scores. Out: labels, tasks, confidences. Knows nothing of how the scores
came about.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from conpet_lib.learners.replay import Rows
from conpet_lib.streams.stream import Stream


def answer_table(
    stream: Stream,
    module_of_task: Sequence[int],
    logits: Tensor,
    known_tasks: Rows | None = None,
    task_scores: Tensor | None = None,
) -> pd.DataFrame:
    """The table of `Learner.answer`, from scores.

    Args:
        stream: The tasks in their order.
        module_of_task: The number of each task's module.
        logits: `(rows, seen_labels)`, on the CPU.
        known_tasks: `(rows,)` the true tasks, from 0, or None.
        task_scores: `(rows, tasks)` a selector's probabilities; None where there is no selector,
            and a task's probability is the sum over its labels.

    Returns:
        A row per row: predicted (the label), module (that gave it), chosen_task, from 1 (the most
        probable, to the selector if there is one), confidence (the label's probability), margin (to
        the second most probable), task_confidence (the chosen task's probability), ranking (all
        tasks, the most probable first). With known tasks also within_task (what the true task's
        labels alone would give: the bound of a perfect choice of task) and true_module_active.
    """
    task_of_label = stream.task_of_label[: logits.shape[1]]
    names = np.array(stream.labels, dtype=object)
    likely = logits.softmax(1)
    label = logits.argmax(1).numpy()
    if task_scores is None:
        task_scores = sum_by(likely, task_of_label)
    two_best = nn.functional.pad(likely, (0, 1)).topk(2).values.numpy()  # also of a single label
    ranking = task_scores.argsort(dim=1, descending=True, stable=True).numpy() + 1
    table = pd.DataFrame({"predicted": names[label]})
    table["module"] = np.array(module_of_task)[task_of_label[label]]
    table["chosen_task"] = ranking[:, 0]
    table["confidence"] = two_best[:, 0]
    table["margin"] = two_best[:, 0] - two_best[:, 1]
    table["task_confidence"] = task_scores.max(1).values.numpy()
    table["ranking"] = ranking.tolist()
    if known_tasks is not None:
        of_other_tasks = torch.from_numpy(task_of_label[None] != known_tasks[:, None])
        within_task = logits.masked_fill(of_other_tasks, -torch.inf).argmax(1).numpy()
        table["within_task"] = names[within_task]
        table["true_module_active"] = True
    return table


def sum_by(scores: Tensor, group: np.ndarray) -> Tensor:
    """Sum columns by group.

    Args:
        scores: `(rows, columns)`.
        group: `(columns,)` int64, the group of each column, from 0.

    Returns:
        `(rows, groups)`.
    """
    groups = int(group.max()) + 1
    return torch.zeros(len(scores), groups).index_add_(1, torch.from_numpy(group), scores)
