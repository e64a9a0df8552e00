"""Restoring: a learner as a run's record left it.

In: a record, a folder, a stream, a backbone. Out: a `Learner`, or one that has seen nothing yet.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load

from conpet_lib.core.assets import ASSETS, cache_folder
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import read_checked, safe_name, user_path, write_json
from conpet_lib.learners.base import Learner
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.learners.methods import METHODS
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.features import Features
from conpet_lib.models.loading import load_backbone
from conpet_lib.runs.record import Record
from conpet_lib.streams.stream import Stream, Task

# The folders of the backbones on which this process has trained, by their fingerprints.
_places: dict[str, str] = {}


def config_of(record: Record) -> LearnerConfig:
    """The configuration that a record was written from.

    Args:
        record: The run's record.

    Raises:
        ConpetError: If its method is not known here.
    """
    if record.learner not in METHODS:
        raise ConpetError(
            f"The run was trained by {record.learner!r}, which is not known here. If it is a "
            "method of your own, run the cell or the file that registers it (cp.register) first."
        )
    settings: dict[str, Any] = {}
    for name, value in record.config.items():
        if name != "learner":
            settings[name] = tuple(value) if isinstance(value, list) else value
    return METHODS[record.learner].config(**settings)


def restore(
    folder: Path,
    record: Record,
    stream: Stream,
    backbone: Backbone,
    cache: Path | None = None,
    config: LearnerConfig | None = None,
) -> Learner:
    """The learner as the record's last stage left it; a new one if there is no stage.

    Args:
        folder: The run's folder.
        record: What it holds.
        stream: The tasks; their rows may be empty where nothing more is trained.
        backbone: The frozen model.
        cache: Folder of the caches; None: the user's.
        config: The settings to train by; None: those of the record.

    Raises:
        ConpetError: If a file is gone, torn or changed.
    """
    if config is None:
        config = config_of(record)
    features = Features(stream.examples, stream.kind, backbone, cache, config.max_tokens)
    learner = config.learner_class(stream, features, config, record.seed)
    for name, wanted in record.files.items():
        if name.startswith(("modules/", "kept/")):
            parse = json.loads if name.endswith(".json") else load
            content: Any = read_checked(folder / name, wanted, parse)
            if name.startswith("kept/"):
                learner.kept.update(content)
    learner.module_of_task = list(record.module_of_task)
    for part_name, part in learner.parts.items():
        part.ledger = list(record.ledgers.get(part_name, []))
        for number, name in enumerate(record.parts.get(part_name, [])):
            module = part.new_module(number)
            part.modules.append(module.load(folder / "modules" / name))
    return learner


def learner_of(folder: Path, record: Record, backbone: Backbone | None) -> Learner:
    """The trained learner of a run, without its rows.

    Args:
        folder: The run's folder.
        record: What it holds.
        backbone: The frozen model; None: it is loaded by the record.

    Raises:
        ConpetError: If the backbone is not the one that the run was trained on, or is in a folder
            that is not known on this computer.
    """
    about = record.backbone
    if backbone is None:
        backbone = _backbone_of(folder, record)
    checked = ["exit_layer", "tuned_layers"]
    if (about.device, about.dtype) == (backbone.device.type, str(backbone.dtype)):
        checked.append("fingerprint")  # it is a hash of device and type, too
    for name in checked:
        wanted = getattr(about, name)
        present = getattr(backbone, name)
        if wanted != present:
            raise ConpetError(
                f"{folder} was trained on a backbone of {name} {wanted}, not {present}."
            )
    no_rows = np.empty(0, dtype=np.int64)
    tasks = tuple(Task(tuple(labels), no_rows, no_rows, no_rows) for labels in record.stream.tasks)
    stream = Stream(record.stream.corpus, record.stream.kind, (), tasks)
    return restore(folder, record, stream, backbone)


def remember_place(backbone: Backbone) -> None:
    """Note in the user's cache in which folder a backbone is; a run's record does not say it.

    Args:
        backbone: What a run is trained on.
    """
    place = user_path(backbone.name)
    if backbone.name in ASSETS or not os.path.isdir(place):
        return
    _places[backbone.fingerprint] = str(place.resolve())
    note = _note_of(backbone.fingerprint)
    with suppress(OSError):  # a cache that cannot be written: this process knows it all the same
        note.parent.mkdir(parents=True, exist_ok=True)
        write_json(note, str(place.resolve()))


def _note_of(fingerprint: str) -> Path:
    """The file that notes in which folder a backbone is."""
    return cache_folder() / "backbones" / f"{safe_name(fingerprint)}.json"


def _place_of(fingerprint: str) -> str | None:
    """The folder in which a backbone was when a run was trained on it."""
    try:
        noted = json.loads(_note_of(fingerprint).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        noted = None
    for place in (noted, _places.get(fingerprint)):
        if isinstance(place, str) and os.path.isdir(place):  # False where nobody may look, too
            return place
    return None


def _backbone_of(folder: Path, record: Record) -> Backbone:
    """The backbone that a record names, from its folder if it is in one."""
    about = record.backbone
    name = _place_of(about.fingerprint) or about.name
    try:
        quantization = record.environment.get("quantization")
        return load_backbone(name, about.tuned_layers, about.exit_layer, quantization=quantization)
    except ConpetError as error:
        raise ConpetError(
            f"{folder} was trained on the backbone {about.name!r}. If it is in a folder of yours, "
            "load it and give it to the run: load_run(folder, load_backbone(...)), or train with "
            f"it. {error}"
        ) from error
