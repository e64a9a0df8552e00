"""Ours against the authors' code, on the same rows: `make reference DATA=folder-with-val_wiki.json`.

Their results on this split (their BERT + LoRA path, minilm-l6, one thread) stand in `THEIRS`. Ours runs
with the same data, split, backbone, rank, projections, batch size, steps and epochs, in two places:
(a) the authors': LoRA in all layers; (b) LoRA in the two last layers, over a cached prefix. Each of
three mishaps of their code can be put back alone with --mishaps. Every run is kept under --folder
and resumed or loaded by the same command.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import psutil
import torch

import conpet_lib as cp
from conpet_lib.dynamic import DynamicConPET
from conpet_lib.files import digest
from conpet_lib.registry import CONFIGS, LEARNERS
from conpet_lib.replay import dynamic_replay
from conpet_lib.tasks import Stream, Task

SPLIT = Path(__file__).parents[1] / "data" / "reference_split.json"
PLACES = {"a": {"tuned_layers": "all"}, "b": {"tuned_layers": 2}}
SETTINGS = {"rank": 4, "alpha": 1.0, "targets": ("query", "value"), "batch_size": 16, "batch_limit": 40, "epochs": 3,
            "limit_first": False, "learning_rate": 2e-3, "epsilon": 1e-4, "weight_decay": 0.01, "valid_examples": 160}
# Their code on this split: accuracy (%) after each stage, wall seconds, peak memory in MiB of the largest process.
THEIRS = {
    "static": [([96.88, 95.0, 82.08, 75.31], 453.74, 1337.2), ([95.0, 94.06, 79.17, 71.41], 480.93, 1366.0)],
    "dynamic": [([93.12, 90.31, 78.12, 65.16], 1074.59, 2425.4)]}


class WholeBatchMean(DynamicConPET):
    """Mishap 1: the loss of a module is divided by the whole batch, though only new rows give a gradient."""

    def loss(self, logits, targets):
        return super().loss(logits, targets) * len(targets) / self.config.batch_size


class RedrawnValidation(DynamicConPET):
    """Mishap 2: validation rows are drawn anew (with repeats) at each validation, so noise picks the epoch."""

    def score(self, rows, stage):
        task, epoch = self.stream[stage - 1], self.fitting.epoch
        drawn = dynamic_replay(task.valid, [past.valid for past in self.past(stage)], 32, self.config.new_share, 10,
                               self.generator("redrawn validation", stage, epoch), first=stage == 1)
        return super().score(self.keep(np.concatenate(drawn), stage), stage)


class DriftingSelector(DynamicConPET):
    """Mishap 3: the optimiser of the selector goes on with zero gradients while the task module trains."""

    def fit(self, stage):
        self.leftover = None
        super().fit(stage)

    def begin(self, stage):
        if len(self.selector.parts) and self.selector.ledger and self.selector.ledger[-1]["stage"] == stage:
            self.leftover = self.selector_optimiser
        return super().begin(stage)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        start = self.selector.start

        def remembering(*inner):
            fitting = start(*inner)
            self.selector_optimiser = fitting.optimiser
            return fitting
        self.selector.start = remembering

    def train_on(self, rows, fitting):
        value = super().train_on(rows, fitting)
        if self.leftover:
            for group in self.leftover.param_groups:
                for weight in group["params"]:
                    weight.grad = torch.zeros_like(weight)
            self.leftover.step()
        return value


MISHAPS = {"whole batch mean": WholeBatchMean, "redrawn validation": RedrawnValidation,
           "drifting selector": DriftingSelector}


def register_mishaps() -> dict[str, type[cp.DynamicConfig]]:
    """Name each mishap's learner and config, so that `train` knows them; returns the configs."""
    for name, learner in MISHAPS.items():
        @dataclass(frozen=True, kw_only=True)
        class Config(cp.DynamicConfig):
            pass
        Config.learner: ClassVar[str] = f"dynamic, {name}"
        LEARNERS[Config.learner], CONFIGS[Config.learner] = learner, Config
    return {name: CONFIGS[f"dynamic, {name}"] for name in MISHAPS}


def reference_stream(folder: Path) -> Stream:
    """The split of `data/reference_split.json`, its rows found in FewRel by the hash of their text and spans."""
    corpus = cp.load_corpus("fewrel", folder)
    split = json.loads(SPLIT.read_text(encoding="utf-8"))
    row_of = {digest(example.text, example.spans)[:16]: row for row, example in enumerate(corpus.examples)}
    wanted = [name for sides in split["rows"].values() for names in sides.values() for name in names]
    missing = [name for name in wanted if name not in row_of]
    if missing:
        raise cp.ConpetError(f"{folder}: {len(missing)} of {len(wanted)} rows of the reference split are not in this "
                             "FewRel. Wanted: the folder with the official val_wiki.json.")
    tasks = tuple(
        Task(
            tuple(labels),
            *(
                np.array([row_of[name] for label in labels for name in split["rows"][label][side]])
                for side in ("train", "valid", "test")
            ),
        )
        for labels in split["tasks"]
    )
    return Stream(corpus.name, corpus.kind, corpus.examples, tasks)


def main() -> int:
    """Run what is asked for, and print ours beside theirs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with FewRel's val_wiki.json")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--places", default="ab", help="a: all layers tuned; b: two tuned layers over a cached prefix")
    parser.add_argument("--mishaps", action="store_true", help="also put each mishap back alone")
    parser.add_argument("--folder", type=Path, default=Path("runs/reference"))
    options = parser.parse_args()
    mishaps, rows = register_mishaps(), []
    try:
        stream = reference_stream(options.data)
    except cp.ConpetError as error:
        print(error, file=sys.stderr)
        return 1
    imported = psutil.Process().memory_info().rss
    for seed in range(options.seeds):
        for place in options.places:
            backbone = cp.load_backbone("minilm-l6", device="cpu", **PLACES[place])
            configs = [cp.StaticConfig(**SETTINGS), cp.DynamicConfig(**SETTINGS)]
            configs += [config(**SETTINGS) for config in mishaps.values()] if options.mishaps else []
            for config in configs:
                folder = options.folder / f"{place}-{config.learner.replace(', ', '-').replace(' ', '-')}-{seed}"
                run = cp.train(
                    stream, backbone, config, seed=seed, folder=folder, cache=options.folder / f"cache-{seed}"
                )
                rows.append(row(run, place, seed, imported))
    for learner, results in THEIRS.items():
        rows += [{"learner": learner, "place": "theirs", "seed": seed, **stages(accuracy), "seconds": wall, "MiB": peak}
                 for seed, (accuracy, wall, peak) in zip((100, 200), results)]
    table = pd.DataFrame(rows).sort_values(["learner", "place", "seed"])
    print("\n" + table.round(1).to_string(index=False))
    table.to_csv(options.folder / "table.csv", index=False)
    return 0


def stages(accuracy) -> dict:
    """Accuracy (%) after each stage, as columns."""
    return {f"stage {stage}": value for stage, value in enumerate(accuracy, 1)}


def row(run, place: str, seed: int, imported: int) -> dict:
    """One line of the table; memory is that above what the imports take."""
    summary = run.summary()
    return {"learner": run.name, "place": place, "seed": seed, **stages(100 * run.average_accuracy),
            "selector": 100 * summary["selector accuracy"], "seconds": summary["seconds"],
            "of it prefix": summary["seconds of prefix"], "MiB": (summary["peak memory"] - imported) / 2**20,
            "steps": summary["steps"], "rows with gradient": summary["rows with gradient"]}


if __name__ == "__main__":
    sys.exit(main())
