"""Ours against the authors' code, on the same rows.

Usage: `make reference DATA=folder-with-val_wiki.json [SEEDS=5] [MISHAPS=--mishaps]`, or
`python scripts/reference.py --help`.

The authors' results on this split (their BERT + LoRA path, minilm-l6, one thread) stand in
`THEIRS`. Ours runs with the same data, split, backbone, rank, projections, batch size, steps and
epochs, in two places: (a) the authors': LoRA in all layers; (b) LoRA in the two last layers, over a
cached prefix. Each of three mishaps of their code (`mishaps.py`) can be put back alone with
--mishaps. Each run has a process and a prefix cache of its own, is kept under --folder, and is
resumed or loaded by the same command. Start at `main`; `measured` is one line of the table.
"""

import argparse
import json
import multiprocessing
import shutil
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from mishaps import MISHAPS, register_mishaps

import conpet_lib as cp
from conpet_lib.core.files import digest, write_json
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
# Their code on this split, a tuple per seed: accuracy (%) after each stage, wall seconds, peak
# memory in MiB of the largest process.
THEIRS = {
    "static": [
        ([96.88, 95.0, 82.08, 75.31], 453.74, 1337.2),
        ([95.0, 94.06, 79.17, 71.41], 480.93, 1366.0),
    ],
    "dynamic": [([93.12, 90.31, 78.12, 65.16], 1074.59, 2425.4)],
}
THEIR_SEEDS = (100, 200)


def learner_configs() -> dict[str, type]:
    """The config classes of this comparison by the learner's name in its table."""
    return {"static": cp.StaticConfig, "dynamic": cp.DynamicConfig, **register_mishaps()}


# --- their rows -----------------------------------------------------------------------------------


def reference_stream(folder: Path) -> Stream:
    """The split of `data/reference_split.json` as a stream.

    The file has no text: rows are found in FewRel by the hash of their text and spans.
    """
    corpus = cp.load_corpus("fewrel", folder)
    split = json.loads(SPLIT.read_text(encoding="utf-8"))
    row_of = {}
    for row, example in enumerate(corpus.examples):
        row_of[digest(example.text, example.spans)[:16]] = row
    wanted = wanted_rows(split)
    missing = [name for name in wanted if name not in row_of]
    if missing:
        raise cp.ConpetError(
            f"{folder}: {len(missing)} of {len(wanted)} rows of the reference split are not in "
            "this FewRel. Wanted: the folder with the official val_wiki.json."
        )
    tasks = tuple(task_of(labels, split["rows"], row_of) for labels in split["tasks"])
    return Stream(corpus.name, corpus.kind, corpus.examples, tasks)


def wanted_rows(split: dict) -> list[str]:
    """The hashes of all rows of the split."""
    wanted = []
    for sides in split["rows"].values():
        for names in sides.values():
            wanted += names
    return wanted


def task_of(labels: list[str], rows: dict, row_of: dict[str, int]) -> Task:
    """One task of the split; `rows` has the hashes by label and side."""
    sides = []
    for side in ("train", "valid", "test"):
        names = [name for label in labels for name in rows[label][side]]
        sides.append(np.array([row_of[name] for name in names]))
    return Task(tuple(labels), *sides)


# --- runs -----------------------------------------------------------------------------------------


def run_name(place: str, name: str, seed: int) -> str:
    """The name of a run's files."""
    return f"{place}-{name.replace(' ', '-')}-{seed}"


def measured(folder: Path, data: Path, place: str, name: str, seed: int) -> dict:
    """One line of the table; the run is trained or loaded.

    To be called in a process of its own, so that its memory is its own.
    """
    imported = psutil.Process().memory_info().rss
    configs = learner_configs()
    backbone = cp.load_backbone("minilm-l6", device="cpu", **PLACES[place])
    # Each run has its own prefix cache. In a shared one a second run would find the first one's
    # rows, and both must pay for theirs.
    run = cp.train(
        reference_stream(data),
        backbone,
        configs[name](**SETTINGS),
        seed=seed,
        folder=folder / run_name(place, name, seed),
        cache=folder / f"cache-{run_name(place, name, seed)}",
    )
    summary = run.summary()
    line = {"learner": name, "place": place, "seed": seed}
    line |= stages(100 * run.average_accuracy)
    line["selector"] = 100 * summary["selector accuracy"]
    line["seconds"] = sum(sum(cost["wall"].values()) for cost in run.costs)
    line["of it prefix"] = summary["seconds of prefix"]
    line["CPU seconds"] = sum(sum(cost["cpu"].values()) for cost in run.costs)
    line["MiB"] = summary["peak memory"] / 2**20
    line["imports MiB"] = imported / 2**20
    line["steps"] = summary["steps"]
    line["rows with gradient"] = summary["rows with gradient"]
    return line


def kept(folder: Path, data: Path, place: str, name: str, seed: int) -> dict:
    """The line from its record, measured first if there is none."""
    record = folder / f"{run_name(place, name, seed)}.json"
    if not record.is_file():
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            line = pool.submit(measured, folder, data, place, name, seed).result()
        write_json(record, line)
        shutil.rmtree(folder / f"cache-{run_name(place, name, seed)}", ignore_errors=True)
    return json.loads(record.read_text(encoding="utf-8"))


def main() -> int:
    """Run what is asked for, and print ours beside theirs; returns the exit status."""
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
        reference_stream(options.data)  # a wrong folder is told before any training
        ours = pd.DataFrame(
            kept(options.folder, options.data, place, name, seed)
            for place, name, seed in asked_for(options)
        )
    except cp.ConpetError as error:
        print(error, file=sys.stderr)
        return 1
    report(ours, options)
    return 0


def asked_for(options: argparse.Namespace) -> list[tuple[str, str, int]]:
    """Place, learner and seed of each run, in the order in which they are trained."""
    runs = []
    for seed in range(options.seeds):
        for place in options.places:
            runs += [(place, "static", seed), (place, "dynamic", seed)]
    if options.mishaps:
        for seed in range(options.seeds):
            runs += [("a", mishap, seed) for mishap in MISHAPS]
    return runs


# --- tables ---------------------------------------------------------------------------------------


def report(ours: pd.DataFrame, options: argparse.Namespace) -> None:
    """Print the tables."""
    both = pd.concat([ours, theirs()]).sort_values(["learner", "place", "seed"])
    print(f"\n{both.round(1).to_string(index=False)}")
    print(f"\nOver seeds:\n{over_seeds(ours).to_string()}")
    if set(options.places) >= {"a", "b"}:
        heading = "(b) against (a), on the same seed and machine:"
        print(f"\n{heading}\n{against(ours).to_string()}")
    if options.mishaps:
        heading = "What each mishap alone costs, in points, paired by seed:"
        print(f"\n{heading}\n{mishap_costs(ours).to_string()}")


def theirs() -> pd.DataFrame:
    """Their results in the columns of ours."""
    rows = []
    for learner, results in THEIRS.items():
        for seed, (accuracy, seconds, memory) in zip(THEIR_SEEDS, results):
            row = {"learner": learner, "place": "theirs", "seed": seed}
            rows.append({**row, **stages(accuracy), "seconds": seconds, "MiB": memory})
    return pd.DataFrame(rows)


def stages(accuracy: Iterable[float]) -> dict[str, float]:
    """Accuracy (%) after each stage, as columns."""
    return {f"stage {stage}": value for stage, value in enumerate(accuracy, 1)}


def over_seeds(ours: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds of last accuracy and selector accuracy, in %."""
    numbers = ours.groupby(["learner", "place"])[["stage 4", "selector"]]
    return numbers.agg(["mean", "std", "count"]).round(1)


def against(ours: pd.DataFrame) -> pd.DataFrame:
    """Place b as a share of place a.

    Seconds are with and without the prefix, memory is what is above that of the imports.
    """
    table = ours.set_index(["learner", "seed"])
    table["seconds, warm cache"] = table["seconds"] - table["of it prefix"]
    table["MiB above imports"] = table["MiB"] - table["imports MiB"]
    names = ["seconds", "seconds, warm cache", "CPU seconds", "MiB above imports"]
    a = table.loc[table["place"] == "a", names].copy()
    b = table.loc[table["place"] == "b", names]
    a["seconds, warm cache"] = a["seconds"]  # what a run without a cached prefix takes
    share = (b / a).dropna()
    return share.groupby("learner").agg(["mean", "min", "max"]).round(2)


def mishap_costs(ours: pd.DataFrame) -> pd.DataFrame:
    """Dynamic with a mishap minus Dynamic without, paired by seed: mean and standard deviation.

    Of the accuracy after the last stage and of the selector's, in points.
    """
    in_place_a = ours[ours["place"] == "a"]
    table = in_place_a.set_index(["learner", "seed"])[["stage 4", "selector"]]
    with_mishap = table[table.index.isin(list(MISHAPS), level="learner")]
    costs = with_mishap.sub(table.loc["dynamic"], level="seed")
    return costs.groupby("learner").agg(["mean", "std", "count"]).round(1)


if __name__ == "__main__":
    sys.exit(main())
