"""The family of learners on two corpora, each compared with EMR on the same streams and seeds.

Usage: `make family [DATA=folder-with-val_wiki.json] [WEIGHTS='--weights --seeds 2']`, or
`python scripts/family.py --help`.

The streams are WordNet, 8 tasks of 4 types, and FewRel, 8 tasks of 2 relations with two tuned
layers. Runs are kept under --folder and resumed by the same command; the table is written beside
them and printed. `--weights` trains the learners that tune all weights instead, with a quarter of
the steps. Start at `report`.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

import conpet_lib as cp
from conpet_lib.core.files import write_json

BASE = "emr"  # what every learner is compared with
STREAMS = {
    "wordnet": {"tasks": 8, "labels_per_task": 4},
    "fewrel": {"tasks": 8, "labels_per_task": 2},
}
DEPTHS = {"wordnet": {}, "fewrel": {"tuned_layers": 2}}
# A quarter of the steps: with all weights one step takes up to twenty times as long.
QUARTER = {"learning_rate": 5e-5, "epochs": 1}
WHOLE = {"full": QUARTER, "full-replay": QUARTER, "emr": {**QUARTER, "tunes": "all"}}
COSTS = [
    "average accuracy",
    "forgetting",
    "steps",
    "rows",
    "distinct rows",
    "operations",
    "seconds",
]


def main() -> int:
    """Train what is missing, print and keep the tables; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data", type=Path, nargs="?", help="folder with FewRel's val_wiki.json; else WordNet alone"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--weights", action="store_true", help="the learners that tune all weights")
    parser.add_argument("--learners", nargs="*", help="only these")
    parser.add_argument("--processes", type=int, default=-1, help="runs at a time; -1: one a core")
    parser.add_argument("--folder", type=Path, default=Path("runs/family"))
    options = parser.parse_args()
    try:
        report("wordnet", options)
        if options.data:
            report("fewrel", options)
    except cp.ConpetError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def learner_configs(options: argparse.Namespace) -> list:
    """The configs of the learners that the command line asks for."""
    if options.weights:
        settings_of = WHOLE
    else:
        settings_of = {learner: {} for learner in cp.LEARNERS if not learner.startswith("full")}
    return [
        cp.method(learner, **settings)
        for learner, settings in settings_of.items()
        if not options.learners or learner in options.learners
    ]


def report(corpus: str, options: argparse.Namespace) -> None:
    """Do one corpus: its runs, the numbers of each learner, and its difference to EMR."""
    configs = learner_configs(options)
    folder = options.folder / (f"{corpus}-weights" if options.weights else corpus)
    table = train_all(corpus, configs, folder, options)
    means = means_of(table)
    print(f"\n{corpus}, mean over {options.seeds} seeds:\n{means.round(3).to_string()}")
    record = {
        "command": command(corpus, options),
        "learners": means.reset_index().to_dict("records"),
    }
    if len(configs) > 1:
        pairs = cp.compare(table, by="learner")
        shown = against(pairs, BASE)
        heading = f"{corpus}, average accuracy minus EMR's, paired by seed, 95 % intervals:"
        print(f"\n{heading}\n{shown.round(3).to_string()}")
        record["against emr"] = shown.reset_index().to_dict("records")
        record["all pairs"] = pairs.to_dict("records")
    write_json(folder / "family.json", record)


def train_all(
    corpus: str, configs: list, folder: Path, options: argparse.Namespace
) -> pd.DataFrame:
    """Train or load each config with each seed; returns one row per run."""
    examples = cp.load_corpus(corpus, None if corpus == "wordnet" else options.data)
    depth = {"tuned_layers": "all"} if options.weights else DEPTHS[corpus]
    backbone = cp.load_backbone("minilm-l6", **depth)
    tables = []
    for seed in range(options.seeds):  # rows, order and training all change with the seed
        stream = cp.make_stream(examples, **STREAMS[corpus], split_seed=seed, order_seed=seed)
        tables.append(cp.grid([stream], backbone, configs, [seed], folder, options.processes))
    return pd.concat(tables, ignore_index=True)


def means_of(table: pd.DataFrame) -> pd.DataFrame:
    """Mean of each number over the seeds, and the deviation of accuracy; the best learner first."""
    runs = table.groupby("learner")
    means = runs[COSTS].agg("mean").assign(deviation=runs["average accuracy"].std())
    return means.sort_values("average accuracy", ascending=False)


def command(corpus: str, options: argparse.Namespace) -> str:
    """The command that gives this record again."""
    data = "" if corpus == "wordnet" else "DATA=folder-with-val_wiki.json "
    weights = "--weights " if options.weights else ""
    return f"make family {data}WEIGHTS='{weights}--seeds {options.seeds}'"


def against(pairs: pd.DataFrame, base: str) -> pd.DataFrame:
    """The pairs with `base` in them, turned so that each is a learner minus `base`."""
    beside = pairs[(pairs["one"] == base) | (pairs["other"] == base)].copy()
    turned = beside["one"] == base
    ends = ["low", "high", "bootstrap low", "bootstrap high"]
    beside.loc[turned, ["difference", *ends]] *= -1
    # What was the lower end is now the upper one.
    swapped = beside.loc[turned, ["high", "low", "bootstrap high", "bootstrap low"]]
    beside.loc[turned, ends] = swapped.to_numpy()
    beside["learner"] = beside["one"].where(~turned, beside["other"])
    columns = ["difference", *ends, "agree", "pairs", "not held equal"]
    return beside.set_index("learner").sort_values("difference", ascending=False)[columns]


if __name__ == "__main__":
    sys.exit(main())
