"""Chances: what a run's selector says to rows, and the prior that would have served it better.

In: a run of Dynamic ConPET and its stream. Out: probabilities. Start at `module_chances`.
"""

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from conpet_lib.core.errors import ConpetError
from conpet_lib.learners.answers import sum_by
from conpet_lib.learners.dynamic import DynamicConPET
from conpet_lib.learners.replay import Rows
from conpet_lib.runs.run import Run
from conpet_lib.streams.stream import Stream

LEAST = 1e-12  # a probability that is smaller counts as this one


def tested(run: Run, stream: Stream) -> tuple[DynamicConPET, Rows]:
    """The learner over its stream's examples, and the test rows of its last stage.

    Args:
        run: Of Dynamic ConPET.
        stream: What it was trained on.

    Raises:
        ConpetError: If it is another stream, the run has no selector, or there are no test rows.
    """
    if run.record.stream.fingerprint != stream.fingerprint:
        raise ConpetError(
            f"{run.folder} was trained on another stream. Give the one that `train` was given."
        )
    if not run.record.has_selector:
        raise ConpetError(
            f"{run.folder} has no selector: it takes DynamicConfig, and two stages or more."
        )
    rows = np.concatenate([task.test for task in stream[: run.record.stages_done]])
    if not len(rows):
        raise ConpetError(
            "The tasks of this stream have no test rows: make it with test=1 or more."
        )
    learner = run.reading(stream.examples)
    assert isinstance(learner, DynamicConPET)
    return learner, rows


def module_chances(learner: DynamicConPET, rows: Rows) -> Tensor:
    """`(rows, modules)`: the selector's probabilities, tasks summed into their modules.

    Args:
        learner: Trained for two stages or more.
        rows: `(rows,)` int64.
    """
    return sum_by(learner.selector.task_scores(rows), np.array(learner.module_of_task))


def prior_of(learner: DynamicConPET, stream: Stream) -> tuple[float, ...]:
    """The weight of each module that suits the validation rows of the tasks seen best.

    Args:
        learner: Trained for two stages or more.
        stream: Its tasks.
    """
    seen = len(learner.module_of_task)
    rows = np.concatenate([task.valid for task in stream[:seen]])
    task_of_row = stream.task_of_label[stream.label_numbers(rows)]
    right = torch.from_numpy(np.array(learner.module_of_task)[task_of_row])
    return fitted_prior(module_chances(learner, rows), right)


def fitted_prior(chances: Tensor, right: Tensor) -> tuple[float, ...]:
    """The weight of each module that gives validation rows the lowest cross entropy.

    Args:
        chances: `(rows, modules)` probabilities.
        right: `(rows,)` int64, each row's own module.

    Returns:
        `modules` weights whose mean is 1; all 1 without rows.
    """
    modules = chances.shape[1]
    if not len(right):
        return (1.0,) * modules
    logarithms = log_chances(chances).double()

    def loss_at(offsets: np.ndarray) -> tuple[float, np.ndarray]:
        shift = torch.from_numpy(offsets).requires_grad_()
        loss = nn.functional.cross_entropy(logarithms + shift, right)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        assert shift.grad is not None
        return loss.item(), shift.grad.numpy()

    found = minimize(loss_at, np.zeros(modules), jac=True, method="L-BFGS-B")
    weights = np.exp(found.x)
    return tuple((weights / weights.mean()).tolist())


def log_chances(chances: Tensor) -> Tensor:
    """Logarithms of probabilities, also of 0.

    Args:
        chances: Of any shape.
    """
    return chances.clamp(min=LEAST).log()
