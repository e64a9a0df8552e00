"""Record: what a run is of and how far it is, as `run.json` has it.

In: a stream, a backbone, a configuration, a seed; or a folder. Out: a `Record`. The file is written
last in a stage and has the hashes of all others. Knows how to read the format before its own. Start
at `read_record`.
"""

import json
import os
import platform
import re
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import digest, safe_name, user_path

if TYPE_CHECKING:
    from conpet_lib.learners.config import LearnerConfig
    from conpet_lib.models.backbone import Backbone
    from conpet_lib.streams.stream import Stream

FORMAT = 4  # 3: one selector beside the modules, and max_tokens with the backbone
VERSIONED = ("torch", "transformers", "peft", "numpy", "pandas")
# Settings that runs of earlier versions do not name, and what they were in them.
BEFORE: dict[str, Any] = {
    "config.head": "trained",
    "config.head_rows": None,
    "config.head_layers": None,
    "config.joined_layers": 4,
    "config.balance": False,
}
SAFE_NAME = re.compile(r"[\w-]+(/[\w-]+)*(\.\w+)?")  # of a file inside of the run's folder


@dataclass
class StreamRecord:
    """What a run's stream is, without its text.

    Attributes:
        corpus: Its name.
        kind: Of the corpus; it chooses the prompt.
        fingerprint: Equal for two streams just when their tasks, sides and examples are.
        tasks: The labels of each task.
        rows: Training, validation and test rows of each task.
    """

    corpus: str
    kind: str
    fingerprint: str
    tasks: list[list[str]]
    rows: list[list[int]]


@dataclass
class BackboneRecord:
    """What a run's backbone is.

    Attributes:
        name: As it was given to `load_backbone`; in a file, of a folder its last part alone.
        exit_layer: Number of layers that are run.
        tuned_layers: How many of them carry PET modules.
        fingerprint: Hash of the weights that run, of their configuration, device and type.
        device: "cpu", "cuda" or "mps".
        dtype: Such as "torch.float32".
    """

    name: str
    exit_layer: int
    tuned_layers: int
    fingerprint: str
    device: str
    dtype: str


@dataclass
class Record:
    """What a run is of, and what is there of it.

    Two runs that agree in config, seed, stream and backbone give the same result.

    Attributes:
        config: The method's name as `learner`, and its settings, as plain values.
        seed: Every random choice is drawn from it and a name.
        stream: The tasks.
        backbone: The frozen model.
        stages_done: How many stages are finished.
        parts: The folders of each part's modules by the part's name, such as "module", "selector".
        module_of_task: The number of each task's module.
        files: Hashes of all files by their path in the folder.
        costs: A dict per stage: seconds and bytes by what was done, bytes on disk, counts,
            operations.
        ledgers: By part, a dict per stage: steps, rows, best validation accuracy.
        environment: Versions and system; no names of people, hosts or paths.
        trained_weights: Of all modules so far, heads included.
        backbone_weights: Of the whole backbone.
        tuned_modules: Names of the backbone's Linear modules that carry the weights of PET modules;
            empty in a run of a version that did not list them, and where there is no PET module.
        sentences_on_two_sides: Of the stream, as `Stream.sentences_on_two_sides` counts them; None
            in a run of a version that did not count them.
    """

    config: dict[str, Any]
    seed: int
    stream: StreamRecord
    backbone: BackboneRecord
    stages_done: int = 0
    parts: dict[str, list[str]] = field(default_factory=dict)
    module_of_task: list[int] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    costs: list[dict[str, Any]] = field(default_factory=list)
    ledgers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    trained_weights: int = 0
    backbone_weights: int = 0
    tuned_modules: list[str] = field(default_factory=list)
    sentences_on_two_sides: int | None = None

    @property
    def learner(self) -> str:
        """The method's name."""
        return str(self.config["learner"])

    @property
    def finished(self) -> bool:
        """Whether all stages are done."""
        return self.stages_done == len(self.stream.tasks)

    @property
    def has_selector(self) -> bool:
        """Whether a selector was trained: not in stage 1, nor by every learner."""
        return bool(self.parts.get("selector"))

    def identity(self) -> dict[str, Any]:
        """What the run is of, as plain values."""
        return {
            "config": self.config,
            "seed": self.seed,
            "stream": vars(self.stream),
            "backbone": vars(self.backbone),
        }

    def public_identity(self) -> dict[str, Any]:
        """The same, without the folders of this computer."""
        identity = self.identity()
        backbone = {**identity["backbone"], "name": public_name(self.backbone.name)}
        return {**identity, "backbone": backbone}

    def differences(self, asked: "Record") -> list[str]:
        """In what another record is of another run, in words.

        Args:
            asked: The other record.
        """
        there = pd.json_normalize(self.identity()).iloc[0].to_dict()
        wanted = pd.json_normalize(asked.identity()).iloc[0].to_dict()
        for values in (there, wanted):  # a backbone may lie elsewhere; its fingerprint tells it
            values["backbone.name"] = Path(values["backbone.name"]).name
        return [
            f"{name} ({there.get(name)!r} there, {value!r} asked)"
            for name, value in wanted.items()
            if there.get(name, BEFORE.get(name)) != value
        ]

    def to_json(self) -> dict[str, Any]:
        """The record as `run.json` has it, sealed with the hash of its content."""
        content = {"format": FORMAT, **vars(self), **self.public_identity()}
        return {**content, "digest": seal(content)}


def public_name(name: str) -> str:
    """What others are told of a backbone's name: of a folder the last part of its path.

    Args:
        name: As it was given to `load_backbone`.

    Returns:
        The name of a packaged model or one on the hub as it is.
    """
    path = user_path(name)
    is_folder = os.path.isdir(path) or path.is_absolute() or name.startswith((".", "~"))
    return path.resolve().name if is_folder else name


def seal(content: dict[str, Any]) -> str:
    """The hash of a record's content, which it carries as `digest`.

    Args:
        content: The record as plain values.
    """
    without = {name: value for name, value in content.items() if name != "digest"}
    return digest(json.dumps(without))


def describe(stream: "Stream", backbone: "Backbone", config: "LearnerConfig", seed: int) -> Record:
    """The record of a run of which nothing is trained yet.

    Args:
        stream: The tasks.
        backbone: The frozen model.
        config: The method and its settings.
        seed: Of every random choice.
    """
    settings = json.loads(json.dumps(config.as_record()))  # as the file will have them
    return Record(
        config=settings,
        seed=seed,
        stream=_describe_stream(stream),
        backbone=_describe_backbone(backbone),
        environment=_environment(backbone),
        sentences_on_two_sides=stream.sentences_on_two_sides,
    )


def _describe_stream(stream: "Stream") -> StreamRecord:
    """What a stream is, without its text."""
    labels = [list(task.labels) for task in stream]
    rows = [[len(task.train), len(task.valid), len(task.test)] for task in stream]
    return StreamRecord(stream.corpus, stream.kind, stream.fingerprint, labels, rows)


def _describe_backbone(backbone: "Backbone") -> BackboneRecord:
    """What a backbone is."""
    return BackboneRecord(
        name=backbone.name,
        exit_layer=backbone.exit_layer,
        tuned_layers=backbone.tuned_layers,
        fingerprint=backbone.fingerprint,
        device=backbone.device.type,
        dtype=str(backbone.dtype),
    )


def _environment(backbone: "Backbone") -> dict[str, Any]:
    """Versions and system; no names of people, hosts or paths."""
    from conpet_lib.models.layers import quantization_of  # loads torch, which a reader can spare

    environment: dict[str, Any] = {"python": platform.python_version()}
    environment["system"] = f"{platform.system()} {platform.machine()}"
    environment["cores"] = os.cpu_count()
    for name in VERSIONED:
        environment[name] = version(name)
    quantization = quantization_of(backbone.model)
    if quantization is not None:
        environment["quantization"] = quantization
    return environment


def folder_name(record: Record) -> str:
    """The name of a run's folder among others: the method, and a hash of what the run is of.

    Args:
        record: The run's record.
    """
    hashed = digest(FORMAT, json.dumps(record.identity()))[:16]
    return safe_name(record.learner.replace("*", "-star") + f"-{hashed}")


def read_record(folder: str | Path) -> Record:
    """The record in a folder, checked: its format, its hash, and that no name leads out of it.

    Args:
        folder: The run's folder.

    Raises:
        ConpetError: If there is none, or it is of another format, torn, or was changed.
    """
    path = Path(folder) / "run.json"
    if not path.is_file():
        raise ConpetError(
            f"{folder} holds no run (no run.json). Runs are made with train(..., folder=)."
        )
    try:
        content = json.loads(path.read_bytes())
        if content["format"] not in READERS:
            raise ConpetError(
                f"{path} has format {content['format']}; this version of conpet_lib reads format "
                f"{FORMAT} and the one before. Load it with the version that wrote it, or train "
                "again."
            )
        if content["digest"] != seal(content):
            raise ValueError("it was changed after it was written")
        record = READERS[content["format"]](content)
        names = [*record.files, *(name for part in record.parts.values() for name in part)]
        if not all(SAFE_NAME.fullmatch(name) for name in names):
            raise ValueError("it names files outside of its folder")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ConpetError(
            f"{path} is not a run record ({error}). Restore the file, or train in another folder."
        ) from None
    return record


def _from_format_4(content: dict[str, Any]) -> Record:
    """A record of this version."""
    values = {name: value for name, value in content.items() if name not in ("format", "digest")}
    values["stream"] = StreamRecord(**values["stream"])
    values["backbone"] = BackboneRecord(**values["backbone"])
    return Record(**values)


def _from_format_3(content: dict[str, Any]) -> Record:
    """A record of the version before: modules and a selector, and max_tokens with the backbone."""
    values = dict(content)
    backbone = dict(values["backbone"])
    values["config"] = {
        **values["config"],
        "pet": "lora",
        "max_tokens": backbone.pop("max_tokens"),
    }
    values["backbone"] = backbone
    parts = {"module": values.pop("modules")}
    selector = values.pop("selector")
    if selector is not None:
        parts["selector"] = [selector]
    values["parts"] = parts
    return _from_format_4(values)


READERS = {3: _from_format_3, FORMAT: _from_format_4}
