"""Ours against the authors' code, on the same rows: `make reference DATA=folder-with-val_wiki.json`.

Their results on this split (their BERT + LoRA path, minilm-l6, one thread) stand in `THEIRS`. Ours runs
with the same data, split, backbone, rank, projections, batch size, steps and epochs, in two places:
(a) the authors': LoRA in all layers; (b) LoRA in the two last layers, over a cached prefix. Each of three
mishaps of their code can be put back alone with --mishaps. Each run has a process and a prefix cache of its own,
is kept under --folder, and is resumed or loaded by the same command.
"""

import argparse
import json
import multiprocessing
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import psutil
import torch

import conpet_lib as cp
from conpet_lib.core.files import digest, write_json
from conpet_lib.core.seeds import numpy_generator
from conpet_lib.learners.dynamic import DynamicConPET, Selector
from conpet_lib.learners.replay import dynamic_replay
from conpet_lib.streams.stream import Stream, Task

SPLIT = Path(__file__).parents[1] / "data" / "reference_split.json"
PLACES = {"a": {"tuned_layers": "all"}, "b": {"tuned_layers": 2}}
SETTINGS = {
    "rank": 4,
    "alpha": 1.0,
    "targets": ("query", "value"),
    "batch_size": 16,
    "batch_limit": 40,
    "epochs": 3,
    "limit_first": False,
    "learning_rate": 2e-3,
    "epsilon": 1e-4,
    "weight_decay": 0.01,
    "valid_examples": 160,
}
# Their code on this split: accuracy (%) after each stage, wall seconds, peak memory in MiB of the largest process.
THEIRS = {
    "static": [
        ([96.88, 95.0, 82.08, 75.31], 453.74, 1337.2),
        ([95.0, 94.06, 79.17, 71.41], 480.93, 1366.0),
    ],
    "dynamic": [([93.12, 90.31, 78.12, 65.16], 1074.59, 2425.4)],
}


class WholeBatchMean(DynamicConPET):
    """Mishap 1: the loss of a module is divided by the whole batch, though only new rows give a gradient."""

    def loss(self, rows, stage):
        return super().loss(rows, stage) * len(rows) / self.config.batch_size


class Redrawn:
    """Validation rows that are drawn anew, with repeats, each time, so that noise picks the epoch."""

    def score(self, rows, stage):
        epoch = self.fitting.step // len(self.batches(stage, 0)) - 1
        drawn = dynamic_replay(
            self.stream[stage - 1].valid,
            [past.valid for past in self.past(stage)],
            32,
            self.config.new_share if stage > 1 else 1.0,
            10,
            numpy_generator(self.seed, self.name, "redrawn validation", stage, epoch),
        )
        return super().score(self.take_in(np.concatenate(drawn), stage), stage)


class RedrawnSelector(Redrawn, Selector):
    """The selector of mishap 2."""


class RedrawnValidation(Redrawn, DynamicConPET):
    """Mishap 2: validation rows are redrawn, of the task modules and of the selector."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.selector = RedrawnSelector(*args, **kwargs)


class DriftingSelector(DynamicConPET):
    """Mishap 3: the optimiser of the selector goes on with zero gradients while the task module trains."""

    def train_on(self, rows, fitting):
        value = super().train_on(rows, fitting)
        if self.selector.fitting:  # not in stage 1
            for weight in self.selector.modules[0].parameters():
                weight.grad = torch.zeros_like(weight)
            self.selector.fitting.optimiser.step()
        return value


class RawFeatures(DynamicConPET):
    """No mishap but a difference: their heads read the hidden state as it is, ours scaled to unit root mean square."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        backbone = self.features.backbone

        def top(hidden, real, answer, adapter=None, config=None):
            return (
                backbone._run(adapter, config, hidden=hidden, real=real, answer=answer)
                .squeeze(1)
                .float()
            )

        backbone.top = top


MISHAPS = {
    "whole batch mean": WholeBatchMean,
    "redrawn validation": RedrawnValidation,
    "drifting selector": DriftingSelector,
    "raw features": RawFeatures,
}


def register_mishaps() -> dict[str, type[cp.LearnerConfig]]:
    """Name each mishap's learner, so that `train` knows it; returns their configurations."""
    return {
        name: cp.register(f"dynamic, {name}", learner, cp.DynamicConfig)
        for name, learner in MISHAPS.items()
    }


def reference_stream(folder: Path) -> Stream:
    """The split of `data/reference_split.json`, its rows found in FewRel by the hash of their text and spans."""
    corpus = cp.load_corpus("fewrel", folder)
    split = json.loads(SPLIT.read_text(encoding="utf-8"))
    row_of = {
        digest(example.text, example.spans)[:16]: row for row, example in enumerate(corpus.examples)
    }
    wanted = [
        name for sides in split["rows"].values() for names in sides.values() for name in names
    ]
    missing = [name for name in wanted if name not in row_of]
    if missing:
        raise cp.ConpetError(
            f"{folder}: {len(missing)} of {len(wanted)} rows of the reference split are not in this "
            "FewRel. Wanted: the folder with the official val_wiki.json."
        )
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


def measured(folder: Path, data: Path, place: str, name: str, seed: int) -> dict:
    """One line of the table; the run is trained, or loaded, in a process of its own, so that its memory is its own."""
    imported = psutil.Process().memory_info().rss
    configs = {"static": cp.StaticConfig, "dynamic": cp.DynamicConfig, **register_mishaps()}
    backbone = cp.load_backbone("minilm-l6", device="cpu", **PLACES[place])
    # a prefix cache a run: a second one would find the first one's rows, and both must pay for theirs
    run = cp.train(
        reference_stream(data),
        backbone,
        configs[name](**SETTINGS),
        seed=seed,
        folder=folder / f"{place}-{name.replace(' ', '-')}-{seed}",
        cache=folder / f"cache-{place}-{name.replace(' ', '-')}-{seed}",
    )
    summary, seconds = run.summary(), [sum(cost["wall"].values()) for cost in run.costs]
    return {
        "learner": name,
        "place": place,
        "seed": seed,
        **stages(100 * run.average_accuracy),
        "selector": 100 * summary["selector accuracy"],
        "seconds": sum(seconds),
        "of it prefix": summary["seconds of prefix"],
        "CPU seconds": sum(sum(cost["cpu"].values()) for cost in run.costs),
        "MiB": summary["peak memory"] / 2**20,
        "imports MiB": imported / 2**20,
        "steps": summary["steps"],
        "rows with gradient": summary["rows with gradient"],
    }


def kept(folder: Path, data: Path, place: str, name: str, seed: int) -> dict:
    """The line from its record, measured first if there is none."""
    record = folder / f"{place}-{name.replace(' ', '-')}-{seed}.json"
    if not record.is_file():
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            write_json(record, pool.submit(measured, folder, data, place, name, seed).result())
        shutil.rmtree(folder / f"cache-{place}-{name.replace(' ', '-')}-{seed}", ignore_errors=True)
    return json.loads(record.read_text(encoding="utf-8"))


def main() -> int:
    """Run what is asked for, and print ours beside theirs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with FewRel's val_wiki.json")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--places",
        default="ab",
        help="a: all layers tuned; b: two tuned layers over a cached prefix",
    )
    parser.add_argument(
        "--mishaps", action="store_true", help="also put each mishap back alone, in place a"
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/reference"))
    options = parser.parse_args()
    try:
        reference_stream(options.data)
        rows = [
            kept(options.folder, options.data, place, name, seed)
            for seed in range(options.seeds)
            for place in options.places
            for name in ("static", "dynamic")
        ]
        if options.mishaps:
            rows += [
                kept(options.folder, options.data, "a", name, seed)
                for seed in range(options.seeds)
                for name in MISHAPS
            ]
    except cp.ConpetError as error:
        print(error, file=sys.stderr)
        return 1
    ours, theirs = (
        pd.DataFrame(rows),
        pd.DataFrame(
            [
                {
                    "learner": learner,
                    "place": "theirs",
                    "seed": seed,
                    **stages(accuracy),
                    "seconds": wall,
                    "MiB": peak,
                }
                for learner, results in THEIRS.items()
                for seed, (accuracy, wall, peak) in zip((100, 200), results)
            ]
        ),
    )
    print(
        "\n"
        + pd.concat([ours, theirs])
        .sort_values(["learner", "place", "seed"])
        .round(1)
        .to_string(index=False)
    )
    print("\nOver seeds:\n" + over_seeds(ours).to_string())
    if set(options.places) >= {"a", "b"}:
        print("\n(b) against (a), on the same seed and machine:\n" + against(ours).to_string())
    if options.mishaps:
        print(
            "\nWhat each mishap alone costs, in points, paired by seed:\n"
            + mishap_costs(ours).to_string()
        )
    return 0


def stages(accuracy) -> dict:
    """Accuracy (%) after each stage, as columns."""
    return {f"stage {stage}": value for stage, value in enumerate(accuracy, 1)}


def over_seeds(ours: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds of last accuracy and selector accuracy, in %."""
    return (
        ours.groupby(["learner", "place"])[["stage 4", "selector"]]
        .agg(["mean", "std", "count"])
        .round(1)
    )


def against(ours: pd.DataFrame) -> pd.DataFrame:
    """Place b as a share of place a: seconds with and without the prefix, memory above what the imports take."""
    table = ours.assign(
        **{
            "seconds, warm cache": ours["seconds"] - ours["of it prefix"],
            "MiB above imports": ours["MiB"] - ours["imports MiB"],
        }
    )
    names = ["seconds", "seconds, warm cache", "CPU seconds", "MiB above imports"]
    a, b = (table[table["place"] == place].set_index(["learner", "seed"])[names] for place in "ab")
    a = a.assign(
        **{"seconds, warm cache": a["seconds"]}
    )  # what a run without a cached prefix takes
    return (b / a).dropna().groupby("learner").agg(["mean", "min", "max"]).round(2)


def mishap_costs(ours: pd.DataFrame) -> pd.DataFrame:
    """Last accuracy and selector accuracy of Dynamic with a mishap minus those without, mean and standard deviation."""
    table = ours[ours["place"] == "a"].set_index(["learner", "seed"])[["stage 4", "selector"]]
    costs = table[table.index.isin(list(MISHAPS), level="learner")].sub(
        table.loc["dynamic"], level="seed"
    )
    return costs.groupby("learner").agg(["mean", "std", "count"]).round(1)


if __name__ == "__main__":
    sys.exit(main())
