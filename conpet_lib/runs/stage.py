"""Stage: what is tested and written when a stage ends, and what a kill leaves behind.

In: a learner whose stage is trained. Out: its files under new names, then the record that has their
hashes; what they replaced goes last. Start at `write_stage`.
"""

import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from conpet_lib.core.files import digest, write_atomically, write_json
from conpet_lib.core.tensors import write_tensors
from conpet_lib.learners.base import Learner
from conpet_lib.models.modules import PetModule
from conpet_lib.models.usage import operations
from conpet_lib.runs.record import Record

REPLAY_COLUMNS = ["stage", "part", "key", "task", "count"]


def evaluate(learner: Learner, stage: int) -> pd.DataFrame:
    """The ledger of a stage: the answer to every test row of the tasks seen.

    Args:
        learner: Trained up to the stage.
        stage: The stage, from 1.

    Returns:
        A row per test row: stage, key, task (from 1), label, and the columns of `Learner.answer`
        except for the ranking.
    """
    sides = [task.test for task in learner.stream[:stage]]
    rows = np.concatenate(sides)
    tasks = np.repeat(np.arange(stage), [len(side) for side in sides])
    examples = [learner.stream.examples[row] for row in rows]
    learner.fill(rows, stage)
    answers = learner.answer(rows, tasks).drop(columns="ranking")
    return pd.DataFrame(
        {
            "stage": stage,
            "key": [example.key for example in examples],
            "task": tasks + 1,
            "label": [example.label for example in examples],
            **answers,
        }
    )


def write_stage(
    folder: Path,
    record: Record,
    learner: Learner,
    stage: int,
    answers: pd.DataFrame,
    costs: dict[str, Any],
) -> None:
    """Write a stage's files under new names, then the record, then drop what it replaced.

    Args:
        folder: Of the run.
        record: Of the run; it is brought up to date.
        learner: Trained up to the stage; its fittings end here.
        stage: The stage, from 1.
        answers: The ledger of the stage.
        costs: What the stage has cost.
    """
    trained = {name: part for name, part in learner.parts.items() if part.fitting is not None}
    places = _places(record, learner, trained, stage)
    written = _write_tables(folder, learner, trained, stage, answers)
    for part in trained.values():
        place = folder / "modules" / _place(part, stage)
        part.working.module.save(place)
        written += place.iterdir()
    if learner.kept:
        kept = folder / "kept" / f"stage-{stage:02}.safetensors"
        written.append(write_tensors(kept, learner.kept))
    files = _files_that_stay(record, places)
    for path in written:
        files[path.relative_to(folder).as_posix()] = digest(path.read_bytes())
    costs |= {
        "stage": stage,
        "disk": _bytes_on_disk(folder, learner, files),
        "operations": _operations(learner, costs),
    }
    _bring_up_to_date(record, learner, stage, places, files, costs)
    write_record(folder, record)
    for part in trained.values():
        part.fitting = None


def _place(part: Learner, stage: int) -> str:
    """The name of the folder of the module that a part trained in a stage."""
    number = part.module_of_task[-1]
    if part.name == "module":
        return f"{number}-stage-{stage}"
    if number == 0:
        return f"{part.name}-stage-{stage}"
    return f"{part.name}-{number}-stage-{stage}"


def _places(
    record: Record, learner: Learner, trained: dict[str, Learner], stage: int
) -> dict[str, list[str]]:
    """The folders of each part's modules after a stage, its new one in the place of the old."""
    places = {}
    for name in learner.parts:
        names = list(record.parts.get(name, []))
        if name in trained:
            number = trained[name].module_of_task[-1]
            names[number : number + 1] = [_place(trained[name], stage)]
        places[name] = names
    return places


def _write_tables(
    folder: Path,
    learner: Learner,
    trained: dict[str, Learner],
    stage: int,
    answers: pd.DataFrame,
) -> list[Path]:
    """Write the ledger, and which rows were drawn for training, how often."""
    stream = learner.stream
    task_of_label = dict(zip(stream.labels, (stream.task_of_label + 1).tolist()))
    drawn = []
    for name, part in trained.items():
        rows = part.working.drawn
        assert rows is not None
        for row, count in Counter(rows.tolist()).items():
            example = stream.examples[row]
            drawn.append((stage, name, example.key, task_of_label[example.label], count))
    tables = {"predictions": answers, "replay": pd.DataFrame(drawn, columns=REPLAY_COLUMNS)}
    written = []
    for kind, table in tables.items():
        path = folder / kind / f"stage-{stage:02}.parquet"
        written.append(write_atomically(path, partial(table.to_parquet, index=False)))
    return written


def _files_that_stay(record: Record, places: dict[str, list[str]]) -> dict[str, str]:
    """The files of earlier stages that the record will still name, with their hashes."""
    modules = {name for names in places.values() for name in names}
    stay = {}
    for name, wanted in record.files.items():
        kind, *inside = name.split("/")
        replaced = kind == "kept" or (kind == "modules" and inside[0] not in modules)
        if not replaced:
            stay[name] = wanted
    return stay


def _bytes_on_disk(folder: Path, learner: Learner, files: dict[str, str]) -> Counter[str]:
    """Bytes of the run's files by kind, a selector's apart, and of the prefix cache."""
    disk = Counter({"prefix_cache": learner.features.prefixes.store.bytes})
    for name in files:
        kind = "selector" if "/selector" in name else name.split("/")[0]
        disk[kind] += (folder / name).stat().st_size
    return disk


def _operations(learner: Learner, costs: dict[str, Any]) -> dict[str, float]:
    """Floating-point operations of a stage."""
    per_weight = _operations_per_weight(learner.working.module)
    return operations(learner.features.backbone, costs["counts"], per_weight)


def _operations_per_weight(module: PetModule) -> float:
    """What a weight of a top costs per token where there are gradients; see `operations`."""
    if module.whole:
        return 6.0
    return 4.0 if module.config else 2.0


def _bring_up_to_date(
    record: Record,
    learner: Learner,
    stage: int,
    places: dict[str, list[str]],
    files: dict[str, str],
    costs: dict[str, Any],
) -> None:
    """Enter a stage that is written into the record."""
    record.stages_done = stage
    record.parts = places
    record.files = files
    record.module_of_task = list(learner.module_of_task)
    record.costs = [*record.costs, costs]
    modules = [module for part in learner.parts.values() for module in part.modules]
    weights = [weight for module in modules for weight in module.parameters()]
    record.trained_weights = sum(weight.numel() for weight in weights)
    record.backbone_weights = learner.features.backbone.weights
    record.tuned_modules = _tuned_modules(modules)
    record.ledgers = {name: list(part.ledger) for name, part in learner.parts.items()}


def _tuned_modules(modules: list[PetModule]) -> list[str]:
    """Names of the Linear modules that carry PET modules; the usual targets may find a part."""
    names: set[str] = set()
    for module in modules:
        names.update(getattr(module.config, "target_modules", ()))
    return sorted(names)


def write_record(folder: Path, record: Record) -> None:
    """Write run.json, then delete what it does not name.

    Args:
        folder: Of the run.
        record: Of the run.
    """
    write_json(folder / "run.json", record.to_json())
    for place in leftovers(folder, record):
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def leftovers(folder: Path, record: Record) -> list[Path]:
    """What a kill leaves beside a record's files.

    Half of a file, replaced modules, the last stage's checkpoint.

    Args:
        folder: Of the run.
        record: Of the run.
    """
    modules = {name for names in record.parts.values() for name in names}
    left = [*folder.rglob(".writing-*")]
    left += [place for place in folder.glob("modules/*") if place.name not in modules]
    left += [place for place in folder.glob("kept/*") if f"kept/{place.name}" not in record.files]
    if record.finished:
        left += folder.glob("checkpoint.safetensors")
    return left
