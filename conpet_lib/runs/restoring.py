"""Runs: a folder with all that one training left; what people cite, load and ask.
In: a folder that `train` wrote. Out: a `Run`: accuracy matrix, predictions, costs, answers to new text.
May import everything left of it in the data flow; training, plots and widgets import it. Start at `load_run`.

    run.json                     what it is of, stages done and their costs, hashes of all files; written last
    predictions/stage-01.parquet the ledger: every test row seen, its label, answer, module, confidence, margin
    replay/stage-01.parquet      which rows were drawn, how often
    modules/0-stage-1/           weights as a PEFT folder, the head beside them; selector likewise
    kept/stage-01.safetensors    what some methods keep beside them, such as the rows of a memory
    checkpoint.safetensors       the stage in training"""

import json
from pathlib import Path

from safetensors.torch import load

from conpet_lib.core.files import read_checked
from conpet_lib.learners.base import Learner
from conpet_lib.learners.methods import CONFIGS, LEARNERS
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.features import Features
from conpet_lib.streams.stream import Stream


def restore(
    folder: Path, record: dict, stream: Stream, backbone: Backbone, cache: Path | None = None
) -> Learner:
    """The learner as the record's last stage left it (a new one if there is none)."""
    fields = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in record["config"].items()
    }
    name = fields["learner"]
    features = Features(
        stream.examples, stream.kind, backbone, cache, record["backbone"]["max_tokens"]
    )
    learner = LEARNERS[name](stream, features, CONFIGS[name](**fields), record["seed"])
    for name, wanted in record["files"].items():
        if name.startswith(("modules/", "kept/")):
            content = read_checked(
                folder / name, wanted, json.loads if name.endswith(".json") else load
            )
            learner.kept |= content if name.startswith("kept/") else {}
    learner.module_of_task = list(record["module_of_task"])
    for part in learner.parts:
        part.ledger = list(record["ledgers"].get(part.name, []))
        names = record["modules"] if part is learner else filter(None, [record["selector"]])
        part.modules = [
            part.new_module(number).load(folder / "modules" / name)
            for number, name in enumerate(names)
        ]
    return learner
