"""Exporting: a run handed on: PEFT folders that other tools read, heads and labels beside them, and a model card.

In: a `Run`. Out: a folder. May import `runs`. Start at `export`.
"""

import shutil
from pathlib import Path

from conpet_lib.assets import ASSETS
from conpet_lib.errors import ConpetError
from conpet_lib.files import write_atomically, write_json
from conpet_lib.runs import Run

LDC = "LDC's user agreement (the text may not be passed on)"
LICENCES = {"wordnet": ASSETS["wordnet"].licence, "fewnerd": "CC BY-SA 4.0", "fewrel": "MIT (text from Wikipedia)",
            "ontonotes": LDC, "bbn": LDC, "tacred": LDC, "ace": LDC}

CARD = Path(__file__).parents[1] / "data" / "model_card.md"


def export(run: Run, folder: Path) -> Path:
    """Write a run's modules, selector and card into a new folder; returns the folder.

    Raises: ConpetError if the folder is not empty, no stage is done, or a file of the run is torn or was changed.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConpetError(f"{folder} is not empty. Export into a new folder.")
    record, done, matrix = run.record, run.record["stages_done"], run.accuracy_matrix
    stream, backbone, learner = record["stream"], record["backbone"], run.learner       # reads and checks all modules
    parts = {f"module-{number}": (name, learner.modules[number]) for number, name in enumerate(record["modules"])}
    if record["selector"]:
        parts["selector"] = record["selector"], learner.selector.modules[0]
    tasks = [", ".join(labels) for labels in stream["tasks"]]
    for place, (name, module) in parts.items():
        shutil.copytree(run.folder / "modules" / name, folder / place)
        names = learner.stream.labels if place != "selector" or record["config"]["selector"] == "labels" else tasks
        write_json(folder / place / "labels.json", [names[number] for number in module.owner])
    base = Path(backbone["name"]).name if Path(backbone["name"]).is_dir() else backbone["name"]
    rows = [f"| {stage} | {labels} | {sides[0]} | {sides[1]} | {sides[2]} |" for stage, (labels, sides) in
            enumerate(zip(tasks[:done], stream["rows"]), 1)]
    accuracy = [f"| {task} | {matrix.loc[task, task]:.3f} | {matrix.loc[done, task]:.3f} |" for task in matrix]
    text = CARD.read_text(encoding="utf-8").format(
        base=base, learner=run.name, corpus=stream["corpus"], labels=sum(map(len, stream["tasks"][:done])), stages=done,
        tasks=len(tasks), modules=", ".join(f"`{place}`" for place in parts), kind=stream["kind"],
        template=learner.features.prompt.template, seed=record["seed"],
        exit_layer=backbone["exit_layer"], tokens=backbone["max_tokens"], fingerprint=stream["fingerprint"],
        data="\n".join(["| task | labels | train | valid | test |", "|---|---|---|---|---|", *rows]),
        metrics="\n".join(["| task | when learned | now |", "|---|---|---|", *accuracy]),
        average=run.average_accuracy.iloc[-1], whole=run.whole_accuracy.iloc[-1],
        backbone_licence=ASSETS[base].licence if base in ASSETS else "see the backbone's own card",
        corpus_licence=LICENCES.get(stream["corpus"], "that of your own data"))
    write_atomically(folder / "README.md", lambda name: name.write_text(text, encoding="utf-8"))
    return folder
