"""Training: one call makes a run, stage by stage, and can be repeated.
In: a stream, a backbone, a config, a seed, a folder. Out: a `Run` in the folder. A stage ends with its files and then
`run.json`, which has their hashes; within it a `Checkpoint` keeps what was trained. Start at `train`."""

import json
import os
import platform
import re
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from conpet_lib.core.errors import ConpetError, check_known
from conpet_lib.core.files import digest
from conpet_lib.learners.config import VanillaConfig
from conpet_lib.learners.methods import LEARNERS
from conpet_lib.models.backbone import Backbone
from conpet_lib.streams.stream import Stream


def describe(
    stream: Stream, backbone: Backbone, config: VanillaConfig, seed: int, max_tokens: int
) -> dict:
    """What a run is of, as plain values: two runs with the same description give the same result."""
    return {
        "config": json.loads(json.dumps(asdict(config))),
        "seed": seed,
        "stream": {
            "corpus": stream.corpus,
            "kind": stream.kind,
            "fingerprint": stream.fingerprint,
            "tasks": [list(task.labels) for task in stream],
            "rows": [[len(task.train), len(task.valid), len(task.test)] for task in stream],
        },
        "backbone": {
            **{
                key: getattr(backbone, key)
                for key in ("name", "exit_layer", "tuned_layers", "fingerprint")
            },
            "device": backbone.device.type,
            "dtype": str(backbone.dtype),
            "max_tokens": max_tokens,
        },
    }


def folder_name(about: dict) -> str:
    """The name of a run's folder among others: the learner, and a hash of what the run is of."""
    return f"{about['config']['learner']}-{digest(FORMAT, json.dumps(about))[:16]}".replace(
        "*", "-star"
    )


def open_record(folder: Path, about: dict) -> dict:
    """The record of the run in a folder, or a new one; refuses a run of other arguments by the field that differs."""
    if not (folder / "run.json").is_file():
        versions = {
            name: version(name) for name in ("torch", "transformers", "peft", "numpy", "pandas")
        }
        environment = {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            **versions,
        }  # no names of people, hosts or paths
        return {
            "format": FORMAT,
            **about,
            "stages_done": 0,
            "modules": [],
            "module_of_task": [],
            "selector": None,
            "files": {},
            "costs": [],
            "ledgers": {},
            "environment": environment,
        }
    record = read_record(folder)
    there, asked = (pd.json_normalize(part).iloc[0].to_dict() for part in (record, about))
    differ = [
        f"{name} ({there.get(name)!r} there, {value!r} asked)"
        for name, value in asked.items()
        if there.get(name) != value
    ]
    if differ:
        raise ConpetError(
            f"{folder} holds a run of other arguments: {'; '.join(differ)}. "
            "Choose another folder=, or the same arguments to load it."
        )
    return record


FORMAT = 3  # 1: without hashes; 2: with the ledgers a second time, among the costs


def seal(record: dict) -> str:
    """The hash of a record's content, which it carries as `digest`."""
    return digest(json.dumps({name: value for name, value in record.items() if name != "digest"}))


def read_record(folder: str | Path) -> dict:
    """`run.json` of a folder, checked: format, hash, and that no name in it leads out of the folder."""
    path = Path(folder) / "run.json"
    if not path.is_file():
        raise ConpetError(
            f"{folder} holds no run (no run.json). Runs are made with train(..., folder=)."
        )
    try:
        record = json.loads(path.read_bytes())
        if record["format"] != FORMAT:
            raise ConpetError(
                f"{path} has format {record['format']}; this version of conpet_lib reads format "
                f"{FORMAT}. Load it with the version that wrote it, or train again."
            )
        learner, names = (
            record["config"]["learner"],
            [*record["files"], *record["modules"], record["selector"] or "-"],
        )
        if record["digest"] != seal(record):
            raise ValueError("it was changed after it was written")
        if not all(re.fullmatch(r"[\w-]+(/[\w-]+)*(\.\w+)?", name) for name in names):
            raise ValueError("it names files outside of its folder")
        check_known("learner", learner, LEARNERS)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ConpetError(
            f"{path} is not a run record ({error}). Restore the file, or train in another folder."
        ) from None
    return record
