"""Dropping: a run without one of its tasks, where nothing else has learned from that task.

In: a run and its stream. Out: a new run. Trains nothing. Start at `drop_task`.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from conpet_lib.core.arguments import checked
from conpet_lib.core.errors import ArgumentError, ConpetError
from conpet_lib.core.files import (
    digest,
    move_into_place,
    temporary_folder,
    user_path,
    write_atomically,
)
from conpet_lib.core.tensors import write_tensors
from conpet_lib.learners.base import Learner
from conpet_lib.learners.exact import ExactSelector, Ridge
from conpet_lib.models.features import Features
from conpet_lib.runs.record import Record, describe
from conpet_lib.runs.restoring import config_of
from conpet_lib.runs.run import Run, load_run
from conpet_lib.runs.stage import REPLAY_COLUMNS, evaluate, write_record
from conpet_lib.streams.stream import Stream


@checked
def drop_task(run: Run, stream: Stream, task: int, folder: str | Path) -> Run:
    """Take a task out of a run again: its module, its labels, and its rows out of the exact sums.

    The sums of what is left are, to rounding, those of a run that never saw the task, and the other
    modules are the same to the last bit. The task's training rows are read once more; they are all
    that is read of the past. The new run has the answers after its last stage alone: in its
    accuracy matrix the earlier stages are not numbers.

    The strength of the penalty is chosen anew, on the validation rows that are kept, in a search
    that starts from the run's own.

    What this does not prove: that the backbone, or the texts that it was trained on, know nothing
    of the task; and that copies of the run's folder, or of the caches, are gone. Where one module
    has learned from all tasks, as in Static ConPET, nothing can be taken out, and the run is
    refused.

    Args:
        run: Finished; of Dynamic ConPET with an exact selector and a module for each task, or of
            `ridge` or `ranpac`.
        stream: What it was trained on.
        task: The task, from 1.
        folder: Of the new run, not there yet.

    Returns:
        The new `Run`. Its folder is loaded by `load_run` as any other.

    Raises:
        ArgumentError: If there is no such task.
        ConpetError: If it is another stream, a run from which no task can be taken, or a folder
            that is there already.
    """
    folder = user_path(folder)
    _check(run, stream, task, folder)
    learner = run.reading(stream.examples)
    for part in learner.parts.values():
        part.stream = stream  # a run's own has no rows
    stayed = [number for number in range(len(stream)) if number != task - 1]
    left = replace(stream, tasks=tuple(stream[number] for number in stayed))
    config = config_of(run.record)
    backbone = learner.features.backbone
    features = Features(stream.examples, stream.kind, backbone, max_tokens=config.max_tokens)
    rest = config.learner_class(left, features, config, run.record.seed)
    _hand_over(learner, rest, task)
    record = describe(left, backbone, config, run.record.seed)
    _enter(record, run.record, stayed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder.parent) as work:
        whole = work / "whole"
        _write(whole, record, rest)
        move_into_place(whole, folder)
    return load_run(folder, backbone)


def _check(run: Run, stream: Stream, task: int, folder: Path) -> None:
    """Refuse what no task can be taken out of."""
    if run.record.stream.fingerprint != stream.fingerprint:
        raise ConpetError(
            f"{run.folder} was trained on another stream. Give the one that `train` was given."
        )
    if not run.finished or len(stream) < 2:
        raise ConpetError(f"{run.folder}: the run must be finished, and have two tasks or more.")
    if not 1 <= task <= len(stream):
        raise ArgumentError(f"task={task}: task must be 1 to {len(stream)}.")
    if not _has_parts_apart(run.learner, len(stream)):
        raise ConpetError(
            f"{run.folder}: a module or a selector has learned from several tasks, and what it "
            "took from one of them cannot be taken out. It takes DynamicConfig(selector='exact') "
            "with a number of joined_layers, active=1, teacher forcing and no module budget, or "
            "the methods ridge and ranpac."
        )
    if folder.exists():
        raise ConpetError(f"{folder} is there already. Give a new folder.")


def _has_parts_apart(learner: Any, tasks: int) -> bool:
    """Whether each module has seen one task, and all else is sums of frozen features."""
    if isinstance(learner, Ridge):
        return True
    selector = learner.parts.get("selector")
    if not isinstance(selector, ExactSelector) or selector.reads_module:
        return False
    return learner.module_count() == tasks and learner.trains_on_own_rows


def _hand_over(learner: Learner, rest: Learner, task: int) -> None:
    """Give a learner of the tasks that are left what another has of them."""
    for name, part in rest.parts.items():
        old: Any = learner.parts[name]
        if isinstance(part, Ridge):
            part.kept.update(old.kept_without(task))
            part.module_of_task = [0] * len(rest.stream)
            part.modules = [part.new_module(0)]
            part.modules[0].grow(list(range(len(rest.stream.labels))))
            part.solve()
        else:
            part.module_of_task = list(range(len(rest.stream)))
            part.modules[:] = [*old.modules[: task - 1], *old.modules[task:]]
            for number, module in enumerate(part.modules):
                module.owner = np.flatnonzero(rest.stream.task_of_label == number).tolist()


def _enter(record: Record, old: Record, stayed: list[int]) -> None:
    """Put into a record what is known of the stages of the tasks that are left."""
    record.stages_done = len(stayed)
    record.environment["made by"] = "cp.drop_task"  # and not by a training on these tasks alone
    record.costs = [{**old.costs[number], "stage": stage} for stage, number in enumerate(stayed, 1)]
    record.backbone_weights = old.backbone_weights
    record.tuned_modules = old.tuned_modules
    for name, ledger in old.ledgers.items():
        by_stage = {entry["stage"]: entry for entry in ledger}
        record.ledgers[name] = [
            {**by_stage[number + 1], "stage": stage}
            for stage, number in enumerate(stayed, 1)
            if number + 1 in by_stage
        ]


def _write(folder: Path, record: Record, learner: Learner) -> None:
    """Write modules, sums and the last ledger, then the record that names them."""
    last = record.stages_done
    for kind in ("modules", "kept", "predictions", "replay"):
        (folder / kind).mkdir(parents=True)
    places: list[Path] = []
    for name, part in learner.parts.items():
        names = []
        for number, module in enumerate(part.modules):
            place = f"{name}-{number}-stage-{last}"
            module.save(folder / "modules" / place)
            places += (folder / "modules" / place).iterdir()
            names.append(place)
            record.trained_weights += sum(weight.numel() for weight in module.parameters())
        record.parts[name] = names
    record.module_of_task = list(learner.module_of_task)
    if learner.kept:
        places.append(write_tensors(folder / "kept" / f"stage-{last:02}.safetensors", learner.kept))
    ledger = folder / "predictions" / f"stage-{last:02}.parquet"
    answers = evaluate(learner, last)
    places.append(write_atomically(ledger, partial(answers.to_parquet, index=False)))
    nothing = pd.DataFrame(columns=REPLAY_COLUMNS)
    replay = folder / "replay" / ledger.name
    places.append(write_atomically(replay, partial(nothing.to_parquet, index=False)))
    for path in places:
        record.files[path.relative_to(folder).as_posix()] = digest(path.read_bytes())
    write_record(folder, record)
