"""What is solved beside what is trained: exact heads and selectors on four streams, five seeds.

Usage: `make exact [DATA=folder] [STREAMS='wordnet fewrel']`, or `python scripts/exact.py --help`.

The streams are WordNet in 8 tasks of 4 types and in 32 of 2, and FewRel in 8 tasks of 2 relations
with two tuned layers and in 40 of 2. Runs are kept under --folder and resumed by the same command;
the table is written beside them and printed. Start at `report`.
"""

import argparse
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

import conpet_lib as cp
from conpet_lib.core.files import write_json
from conpet_lib.corpora import Corpus
from conpet_lib.learners.exact import Ridge, RidgeConfig
from conpet_lib.learners.fitting import Fitting
from conpet_lib.learners.replay import Rows
from conpet_lib.learners.static import StaticConPET
from conpet_lib.runs.stage import evaluate
from conpet_lib.streams.stream import Stream


class GoesOnFromExact(StaticConPET):
    """Static ConPET whose training goes on with the exact head, and not with its own."""

    name = "static-from-exact"

    def begin(self, stage: int) -> Fitting:
        """A stage that begins with the head as it answers."""
        return cp.Learner.begin(self, stage)


class RidgeOfNewRows(Ridge):
    """Ridge whose strength is chosen on the new task's validation rows alone."""

    name = "ridge-new"

    def keep_valid(self, rows: Rows) -> None:
        """Keep features of these rows, and of no others.

        Args:
            rows: `(rows,)` int64.
        """
        for kept in ("valid_features", "valid_labels"):
            self.kept.pop(kept, None)
        super().keep_valid(rows)


FromExactConfig = cp.register(GoesOnFromExact.name, GoesOnFromExact)
RidgeOfNewRowsConfig = cp.register(RidgeOfNewRows.name, RidgeOfNewRows, RidgeConfig)

ON_EACH_STREAM = {
    "static, exact head": cp.StaticConfig(head="exact"),
    "dynamic": cp.DynamicConfig(),
    "dynamic, exact selector": cp.DynamicConfig(selector="exact"),
    "ridge": cp.method("ridge"),
    "ranpac": cp.method("ranpac"),
}
JOINT = {"joint, exact head": cp.JointConfig(head="exact")}
# Training goes on with the head that was trained, so that these are had from the same runs.
BY_TRAINED_HEAD = {"static, exact head": "static", "joint, exact head": "joint"}
# Other heads and selectors, on the first stream alone.
HEADS = {
    "static, exact head, frozen layers": cp.StaticConfig(head="exact", head_layers=4),
    "static, exact head, 160 rows": cp.StaticConfig(head="exact", head_rows=160),
    "static, exact head, 640 rows": cp.StaticConfig(head="exact", head_rows=640),
}
OTHER_WAYS = {
    "static, goes on from the exact head": FromExactConfig(head="exact"),
    "ridge, strength by the new rows alone": RidgeOfNewRowsConfig(),
}
SELECTORS = {
    "dynamic, selector on labels": cp.DynamicConfig(selector="labels"),
    "dynamic, selector trained and solved": cp.DynamicConfig(selector="solved"),
    "dynamic, exact selector, last layer": cp.DynamicConfig(selector="exact", joined_layers=1),
    "dynamic, exact selector, first module": cp.DynamicConfig(selector="exact", joined_layers=None),
}
# What is asked of them: the first minus each of the others.
PAIRS = {
    "dynamic, exact selector": ["dynamic", "static", "dynamic, fitted prior", "joint, exact head"],
    "dynamic, fitted prior": ["dynamic"],
    "static, exact head": ["static", "joint, exact head"],
    "static, exact head, frozen layers": ["static, exact head", "joint, exact head"],
    "static, goes on from the exact head": ["static, exact head"],
    "ridge": ["static", "ranpac"],
    "ridge, strength by the new rows alone": ["ridge"],
    "joint, exact head": ["joint"],
}
NUMBERS = ["average accuracy", "selector accuracy", "forgetting", "CPU seconds"]
# Not a part of training; and the prefixes are paid for by the run that comes first.
BESIDE_TRAINING = ("prefix", "checkpoint", "evaluation")
BATCH_LIMIT = 30  # the default of a stage


@dataclass(frozen=True)
class Bench:
    """A stream on which all variants are trained.

    Attributes:
        corpus: Its name.
        file: In the data folder, of a corpus that is not embedded.
        shape: Arguments of `make_stream`.
        depth: Arguments of `load_backbone`.
        joint_at_once: Whether joint training is done once, for the last stage alone.
        further: More variants that are trained on it.
    """

    corpus: str
    file: str
    shape: dict[str, int]
    depth: dict[str, int] = field(default_factory=dict)
    joint_at_once: bool = False
    further: dict[str, Any] = field(default_factory=dict)


LONG_WORDNET = {"tasks": 32, "labels_per_task": 2, "train": 60, "valid": 5, "test": 25}
LONG_FEWREL = {"tasks": 40, "labels_per_task": 2, "train": 40, "valid": 8, "test": 20}
SHORT = {"tasks": 8, "labels_per_task": 4}
SHORT_FEWREL = {"tasks": 8, "labels_per_task": 2}
BENCHES = {
    "wordnet": Bench("wordnet", "", SHORT, further=HEADS | OTHER_WAYS | SELECTORS),
    "fewrel": Bench("fewrel", "fewrel16", SHORT_FEWREL, {"tuned_layers": 2}, joint_at_once=True),
    "wordnet-long": Bench("wordnet", "", LONG_WORDNET, joint_at_once=True),
    "fewrel-long": Bench("fewrel", "fewrel80", LONG_FEWREL, joint_at_once=True),
}


def main() -> int:
    """Train what is missing, print and keep the tables; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data",
        type=Path,
        nargs="?",
        help="folder that has FewRel in the folders fewrel16 and fewrel80; else WordNet alone",
    )
    parser.add_argument("--streams", nargs="*", choices=BENCHES, default=list(BENCHES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=-1, help="runs at a time; -1: one a core")
    parser.add_argument("--folder", type=Path, default=Path("runs/exact"))
    options = parser.parse_args()
    streams = options.streams
    if not options.data:
        streams = [name for name in streams if not BENCHES[name].file]
    if not streams:
        parser.error("the streams of FewRel need the folder with their data")
    try:
        for name in streams:
            report(name, options)
    except cp.ConpetError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def report(name: str, options: argparse.Namespace) -> None:
    """Do one stream: its runs, the numbers of each variant, and their differences."""
    folder = options.folder / name
    table = train_all(BENCHES[name], folder, options)
    runs = table.groupby("variant", sort=False)
    means = runs[NUMBERS].mean().assign(deviation=runs["average accuracy"].std())
    print(f"\n{name}, mean over {options.seeds} seeds:\n{means.round(3).to_string()}")
    means = means.astype(object).where(means.notna(), None)  # JSON knows no "not a number"
    record: dict[str, Any] = {
        "command": f"make exact DATA=folder STREAMS={name}",
        "seeds": options.seeds,
        "variants": means.reset_index().to_dict("records"),
    }
    if options.seeds > 1:
        pairs = differences(table)
        print(f"\nAverage accuracy, paired by seed, 95 % intervals:\n{pairs.round(3).to_string()}")
        record["pairs"] = pairs.to_dict("records")
    write_json(folder / "exact.json", record)


def train_all(bench: Bench, folder: Path, options: argparse.Namespace) -> pd.DataFrame:
    """Train or load each variant with each seed; returns one row per run, and per other head."""
    corpus = cp.load_corpus(bench.corpus, options.data / bench.file if bench.file else None)
    backbone = cp.load_backbone("minilm-l6", **bench.depth)

    def trained(stream: Stream, variants: dict[str, Any], seed: int) -> pd.DataFrame:
        configs = list(variants.values())
        table = cp.grid([stream], backbone, configs, [seed], folder, options.processes)
        seconds = [training_seconds(folder) for folder in table["folder"]]
        table = table.assign(**{"variant": list(variants), "CPU seconds": seconds})
        others = [by_trained_head(table, stream, variant) for variant in BY_TRAINED_HEAD]
        return pd.concat([table, *others])

    tables = []
    for seed in range(options.seeds):  # rows, order and training all change with the seed
        stream = cp.make_stream(corpus, **bench.shape, split_seed=seed, order_seed=seed)
        tables.append(trained(stream, ON_EACH_STREAM | bench.further, seed))
        tables.append(with_prior(tables[-1], stream))
        if not bench.joint_at_once:
            tables.append(trained(stream, JOINT, seed))
            continue
        joint = trained(union_of(corpus, stream, bench, seed), at_once(stream), seed)
        # The rows are the same, be they one task or many, so that runs can be paired.
        tables.append(joint.assign(stream=stream.fingerprint))
    return pd.concat(tables, ignore_index=True)


def by_trained_head(table: pd.DataFrame, stream: Stream, variant: str) -> pd.DataFrame:
    """The row of a variant as it would be with the head that was trained."""
    row = table[table["variant"] == variant].copy()
    if not len(row):
        return row
    learner = cp.load_run(row["folder"].item()).reading(stream.examples)
    learner.stream = stream
    module = learner.modules[0]
    module.head.data = learner.kept["trained.head"]
    module.bias.data = learner.kept["trained.bias"]
    answers = evaluate(learner, len(stream))
    right = cp.metrics.is_right(answers).groupby(answers["task"])
    numbers = {
        "variant": BY_TRAINED_HEAD[variant],
        "average accuracy": right.mean().mean(),
        "forgetting": float("nan"),  # earlier stages are not answered again
        "CPU seconds": training_seconds(row["folder"].item(), (*BESIDE_TRAINING, "head")),
    }
    return row.assign(**numbers)


def with_prior(table: pd.DataFrame, stream: Stream) -> pd.DataFrame:
    """The row of Dynamic ConPET as it would be with a prior fitted on validation rows."""
    row = table[table["variant"] == "dynamic"].copy()
    bench = cp.selector_bench(cp.load_run(row["folder"].item()), stream)
    tried = bench.try_out(bench.prior)
    numbers = {
        "variant": "dynamic, fitted prior",
        "average accuracy": tried["accuracy"],  # tasks have as many test rows
        "selector accuracy": tried["module right"],
        "forgetting": float("nan"),  # earlier stages were not repaired
    }
    return row.assign(**numbers)


def training_seconds(folder: str, beside: tuple[str, ...] = BESIDE_TRAINING) -> float:
    """CPU seconds that a run has trained and solved, without its prefixes and tests."""
    total = 0.0
    for cost in cp.load_run(folder).costs:
        total += sum(part for name, part in cost["cpu"].items() if name not in beside)
    return total


def at_once(stream: Stream) -> dict[str, Any]:
    """Joint training of all tasks in one stage, with the batches that its last stage has."""
    batches = BATCH_LIMIT * len(stream)
    return {name: replace(config, batch_limit=batches) for name, config in JOINT.items()}


def union_of(corpus: Corpus, stream: Stream, bench: Bench, seed: int) -> Stream:
    """The stream's rows as a single task."""
    sizes = {name: bench.shape[name] for name in ("train", "valid", "test") if name in bench.shape}
    return cp.make_stream(corpus, labels=[sorted(stream.labels)], **sizes, split_seed=seed)


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """The pairs that are asked for, each the first minus the second, with its interval."""
    rows = []
    there = set(table["variant"])
    pairs = ((one, other) for one, others in PAIRS.items() for other in others)
    for one, other in pairs:
        if not {one, other} <= there:
            continue
        both = table[table["variant"].isin([one, other])]
        compared = cp.compare(both, by="variant").iloc[0]
        if compared["one"] != one:
            compared = turned(compared)
        rows.append(compared)
    columns = ["one", "other", "difference", "low", "high", "agree", "pairs"]
    return pd.DataFrame(rows)[columns].reset_index(drop=True)


def turned(compared: pd.Series) -> pd.Series:
    """The same comparison the other way round."""
    low, high = -compared["high"], -compared["low"]
    ends = {"one": compared["other"], "other": compared["one"], "low": low, "high": high}
    return pd.Series({**compared, **ends, "difference": -compared["difference"]})


if __name__ == "__main__":
    sys.exit(main())
