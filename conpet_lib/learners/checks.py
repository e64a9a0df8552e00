"""Checks: what must hold of any learner, for people who bring their own.

In: a method's configuration, a small stream and a backbone. Out: nothing, or one ConpetError that
says what does not hold and what to mend. Start at `check_learner`.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from conpet_lib.core.arguments import checked
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.seeds import numpy_generator
from conpet_lib.learners.base import Learner
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.learners.methods import METHODS
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.features import Features
from conpet_lib.streams.stream import Stream

ANSWER_COLUMNS = ("predicted", "module", "chosen_task", "confidence", "margin", "task_confidence")
Weights = list[dict[str, Any]]
ROUNDING = 1e-3  # what another batch may change in a confidence


@checked
def check_learner(config: LearnerConfig, stream: Stream, backbone: Backbone) -> None:
    """Refuse a method of which something does not hold that the library relies on.

    It trains two stages three times, so give a stream of a few rows and a configuration of a few
    steps. What is checked: the method is registered under its name; a stage trains and is entered
    into the ledger; no row of a later task is drawn; the same seed gives the same weights, another
    one others; an answer is a label that was seen, has all columns, and does not depend on the true
    task; the backbone's weights stay as they were; the forecast's steps and weights are those of
    the training; what is kept are tensors.

    Args:
        config: Of the method, such as `cp.method("patient", epochs=1, batch_limit=4)`.
        stream: Two tasks or more.
        backbone: A small one.

    Raises:
        ConpetError: With the first thing that does not hold, and what to mend.
    """
    if len(stream) < 2:
        raise ConpetError("check_learner needs a stream of two tasks or more.")
    _check_registered(config)
    backbone.register(None)  # weights of modules, which do change, are none of the backbone's
    before = backbone.model.state_dict()
    frozen = {name: weight.clone() for name, weight in before.items()}
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)

        def trained(seed: int) -> Learner:
            """A learner after two stages."""
            features = Features(stream.examples, stream.kind, backbone, cache, config.max_tokens)
            learner = config.learner_class(stream, features, config, seed)
            for stage in (1, 2):
                learner.fit(stage)
            return learner

        learner = trained(seed=0)
        for check in CHECKS:
            check(learner)
        _check_frozen(backbone, frozen)
        _check_seeds(learner, trained(seed=0), trained(seed=1))


def _check_frozen(backbone: Backbone, frozen: dict[str, Tensor]) -> None:
    """The backbone's weights must be those from before."""
    backbone.register(None)
    now = backbone.model.state_dict()
    for name, weight in frozen.items():
        if name not in now or not now[name].equal(weight):
            raise ConpetError(
                f"The backbone's weight {name!r} was changed. A learner trains its own modules; "
                "leave `features.backbone.model` as it is."
            )


def _check_registered(config: LearnerConfig) -> None:
    """The method must be found by its name, with this learner class."""
    row = METHODS.get(config.learner)
    if row is None or row.config.learner_class is not config.learner_class:
        raise ConpetError(
            f"{config.learner!r} is not registered with {config.learner_class.__name__}: its runs "
            "could not be loaded again. Call cp.register first, and make the configuration with "
            f"cp.method({config.learner!r})."
        )


def _check_ledger(learner: Learner) -> None:
    """Each part must have entered each of its stages."""
    for name, part in learner.parts.items():
        stages = [entry["stage"] for entry in part.ledger]
        wanted = [1, 2] if name == "module" else [2]
        if stages != wanted and stages != [1, 2]:
            raise ConpetError(
                f"The ledger of the part {name!r} has the stages {stages}, not {wanted}. "
                "If you override `fit`, call super().fit(stage)."
            )


def _check_drawn(learner: Learner) -> None:
    """No row may be drawn before its time, nor a row that is not for training."""
    allowed = np.concatenate([task.train for task in learner.stream[:2]])
    for name, part in learner.parts.items():
        drawn = part.working.drawn if part.fitting is not None else None
        if drawn is not None and not np.isin(drawn, allowed).all():
            raise ConpetError(
                f"The part {name!r} drew rows that are not training rows of the tasks seen. "
                "`batches` and `past` may use stream[:stage] and `task.train` alone."
            )


def _tested(learner: Learner) -> np.ndarray:
    """The test rows of the two tasks."""
    return np.concatenate([task.test for task in learner.stream[:2]])


def _check_answers(learner: Learner) -> None:
    """Answers must be labels that were seen, one per row, in a table with all columns."""
    rows = _tested(learner)
    answers = learner.answer(rows)
    lacking = [column for column in ANSWER_COLUMNS if column not in answers]
    if lacking or len(answers) != len(rows):
        raise ConpetError(
            f"`answer` gave {len(answers)} rows for {len(rows)}, and lacks the columns "
            f"{lacking}. Make the table with `answer_table`."
        )
    seen = {label for task in learner.stream[:2] for label in task.labels}
    unseen = set(answers["predicted"]) - seen
    if unseen:
        raise ConpetError(f"`answer` gave labels that were not seen yet: {sorted(unseen)[:5]}.")


def _check_task_is_not_used(learner: Learner) -> None:
    """An answer must not depend on the true task."""
    rows = _tested(learner)
    tasks = np.repeat([0, 1], [len(task.test) for task in learner.stream[:2]])
    answers = learner.answer(rows)
    told = learner.answer(rows, tasks)
    same = told[list(ANSWER_COLUMNS)].equals(answers[list(ANSWER_COLUMNS)])
    if not same:
        raise ConpetError(
            "`answer` depends on `known_tasks`. It is there for the columns within_task and "
            "true_module_active only: a test never says the task."
        )


def _check_order(learner: Learner) -> None:
    """An answer must depend on its own row alone."""
    rows = _tested(learner)
    order = numpy_generator(0, "order of rows").permutation(len(rows))
    answers = learner.answer(rows).iloc[order].reset_index(drop=True)
    reordered = learner.answer(rows[order])
    same_labels = answers["predicted"].equals(reordered["predicted"])
    as_sure = np.allclose(answers["confidence"], reordered["confidence"], atol=ROUNDING)
    if not (same_labels and as_sure):
        raise ConpetError("`answer` depends on the other rows of the call. Answer each row alone.")


def _check_kept(learner: Learner) -> None:
    """What is kept must be tensors, which are written and read as such."""
    wrong = [name for name, value in learner.kept.items() if not hasattr(value, "numel")]
    if wrong:
        raise ConpetError(
            f"`kept` holds {wrong}, which are no tensors: they could not be written. Keep what a "
            "later stage needs as tensors, by name."
        )


def _check_plan(learner: Learner) -> None:
    """The forecast's numbers must be those of the training."""
    weights = sum(
        weight.numel()
        for part in learner.parts.values()
        for module in part.modules
        for weight in module.parameters()
    )
    two_stages = len(learner.stream) == 2
    if two_stages and learner.trained_parameters() != weights:
        raise ConpetError(
            f"`trained_parameters` says {learner.trained_parameters():,}, trained were "
            f"{weights:,}. Override `module_count`, `adapter_size` or `head_rows` where the method "
            "differs."
        )
    steps = sum(entry["steps"] for part in learner.parts.values() for entry in part.ledger)
    planned = learner.steps(1) + learner.steps(2)
    if steps > planned:
        raise ConpetError(
            f"`steps` says {planned}, taken were {steps}. Override `batches_per_epoch` beside "
            "`batches`."
        )


CHECKS: tuple[Callable[[Learner], None], ...] = (
    _check_ledger,
    _check_drawn,
    _check_answers,
    _check_task_is_not_used,
    _check_order,
    _check_kept,
    _check_plan,
)


def _weights_of(learner: Learner) -> Weights:
    """The weights of all modules."""
    return [module.state_dict() for part in learner.parts.values() for module in part.modules]


def _equal(one: Weights, other: Weights) -> bool:
    """Whether two learners have the same weights, to the last bit."""
    if len(one) != len(other):
        return False
    for first, second in zip(one, other):
        if first.keys() != second.keys():
            return False
        if not all(weight.equal(second[name]) for name, weight in first.items()):
            return False
    return True


def _check_seeds(learner: Learner, again: Learner, other: Learner) -> None:
    """The same seed must give the same weights, and another seed others."""
    weights = _weights_of(learner)
    if not _equal(weights, _weights_of(again)):
        raise ConpetError(
            "Two trainings with one seed gave different weights. Draw every random number from "
            "numpy_generator(self.seed, self.name, ...) or torch_generator with a name."
        )
    has_steps = any(entry["steps"] for part in learner.parts.values() for entry in part.ledger)
    if has_steps and _equal(weights, _weights_of(other)):
        raise ConpetError(
            "Trainings with two seeds gave the same weights. Use self.seed where you draw."
        )
