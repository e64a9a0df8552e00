"""Training: one call makes a run, stage by stage, and can be repeated.
In: a stream, a backbone, a config, a seed, a folder. Out: a `Run` in the folder. A stage ends with its files and then
`run.json`, which has their hashes; within it a `Checkpoint` keeps what was trained. Start at `train`."""

import shutil
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from conpet_lib.core.files import digest, write_atomically, write_json
from conpet_lib.core.tensors import write_tensors
from conpet_lib.learners.base import Learner
from conpet_lib.models.usage import operations
from conpet_lib.runs.record import seal


def evaluate(learner: Learner, stage: int) -> pd.DataFrame:
    """The ledger of a stage: the answer to every test row of the tasks seen."""
    sides, examples = [task.test for task in learner.stream[:stage]], learner.stream.examples
    rows, tasks = np.concatenate(sides), np.repeat(np.arange(stage), [len(side) for side in sides])
    learner.fill(rows, stage)
    return pd.DataFrame(
        {
            "stage": stage,
            "key": [examples[row].key for row in rows],
            "task": tasks + 1,
            "label": [examples[row].label for row in rows],
            **learner.answer(rows, tasks).drop(columns="ranking"),
        }
    )


def write_stage(
    folder: Path, record: dict, learner: Learner, stage: int, answers: pd.DataFrame, costs: dict
) -> None:
    """Write a stage's files under new names, then the record that has their hashes, then drop what it replaced."""
    stream, backbone, parts = learner.stream, learner.features.backbone, learner.parts
    number, names, module = (
        learner.module_of_task[stage - 1],
        list(record["modules"]),
        learner.fitting.module,
    )
    trained = [part for part in parts if part.fitting]  # stage 1 has no selector yet
    places = {"module": f"{number}-stage-{stage}", "selector": f"selector-stage-{stage}"}
    names[number : number + 1] = [places["module"]]
    task_of = dict(zip(stream.labels, (stream.task_of_label + 1).tolist()))
    drawn = [
        (stage, part.name, stream.examples[row].key, task_of[stream.examples[row].label], count)
        for part in trained
        for row, count in Counter(part.fitting.drawn.tolist()).items()
    ]
    tables = {
        "predictions": answers,
        "replay": pd.DataFrame(drawn, columns=["stage", "part", "key", "task", "count"]),
    }
    written = [
        write_atomically(
            folder / kind / f"stage-{stage:02}.parquet", partial(table.to_parquet, index=False)
        )
        for kind, table in tables.items()
    ]
    for part in trained:
        part.fitting.module.save(place := folder / "modules" / places[part.name])
        written += place.iterdir()
    if learner.kept:
        written.append(
            write_tensors(folder / "kept" / f"stage-{stage:02}.safetensors", learner.kept)
        )
    files = {
        name: wanted
        for name, wanted in record["files"].items()
        if not name.startswith("kept/")
        and (not name.startswith("modules/") or name.split("/")[1] in names)
    }
    files |= {path.relative_to(folder).as_posix(): digest(path.read_bytes()) for path in written}
    disk = Counter({"prefix_cache": learner.features.prefixes.store.bytes})
    for name in files:
        disk["selector" if "/selector" in name else name.split("/")[0]] += (
            (folder / name).stat().st_size
        )
    costs |= {
        "stage": stage,
        "disk": disk,
        "operations": operations(
            backbone, costs["counts"], 6.0 if module.whole else 4.0 if module.config else 2.0
        ),
    }
    record.update(
        stages_done=stage,
        modules=names,
        selector=places["selector"] if len(trained) > 1 else None,
        files=files,
        module_of_task=list(learner.module_of_task),
        costs=[*record["costs"], costs],
        trained_weights=sum(
            weight.numel()
            for part in parts
            for module in part.modules
            for weight in module.parameters()
        ),
        backbone_weights=backbone.weights,
        ledgers={part.name: list(part.ledger) for part in parts},
    )
    write_record(folder, record)
    for part in trained:
        part.fitting = None


def write_record(folder: Path, record: dict) -> None:
    """Write run.json, then delete what it does not name."""
    write_json(folder / "run.json", {**record, "digest": seal(record)})
    for place in leftovers(folder, record):
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)


def leftovers(folder: Path, record: dict) -> list[Path]:
    """What a kill leaves beside a record's files: half of a file, replaced modules, the last stage's checkpoint."""
    left = [
        place
        for place in folder.glob("modules/*")
        if place.name not in (*record["modules"], record["selector"])
    ]
    left += [
        place for place in folder.glob("kept/*") if f"kept/{place.name}" not in record["files"]
    ]
    if record["stages_done"] == len(record["stream"]["tasks"]):
        left += folder.glob("checkpoint.safetensors")
    return [*folder.rglob(".writing-*"), *left]
