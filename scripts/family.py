"""The family of learners on two corpora: `make family DATA=folder-with-val_wiki.json`.

WordNet, 8 tasks of 4 types, and FewRel, 8 tasks of 2 relations with two tuned layers. Each learner is compared with
EMR on the same streams and seeds. Runs are kept under --folder and resumed by the same command; the table is written
beside them and printed. `--weights` trains the learners that tune all weights instead, with a quarter of the steps.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

import conpet_lib as cp
from conpet_lib.core.files import write_json

PLACES = {
    "wordnet": ({"tasks": 8, "labels_per_task": 4}, {}),
    "fewrel": ({"tasks": 8, "labels_per_task": 2}, {"tuned_layers": 2}),
}
QUARTER = {
    "learning_rate": 5e-5,
    "epochs": 1,
}  # of the steps: one takes up to twenty times as long as elsewhere
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
    """Train what is missing, print and keep the tables."""
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
        for name, (cut, depth) in PLACES.items():
            if name == "wordnet" or options.data:
                report(options, name, cut, {"tuned_layers": "all"} if options.weights else depth)
    except cp.ConpetError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def report(options: argparse.Namespace, name: str, cut: dict, depth: dict) -> None:
    """One corpus: its runs, the numbers of each learner, and its difference to EMR."""
    corpus = cp.load_corpus(name, None if name == "wordnet" else options.data)
    backbone = cp.load_backbone("minilm-l6", **depth)
    chosen = (
        WHOLE
        if options.weights
        else {learner: {} for learner in cp.LEARNERS if not learner.startswith("full")}
    )
    configs = [
        cp.method(learner, **settings)
        for learner, settings in chosen.items()
        if not options.learners or learner in options.learners
    ]
    folder, tables = options.folder / (f"{name}-weights" if options.weights else name), []
    for seed in range(options.seeds):  # rows, order and training all change with the seed
        stream = cp.make_stream(corpus, **cut, split_seed=seed, order_seed=seed)
        tables.append(cp.grid([stream], backbone, configs, [seed], folder, options.processes))
    table = pd.concat(tables, ignore_index=True)
    means = (
        table.groupby("learner")[COSTS]
        .agg("mean")
        .assign(deviation=table.groupby("learner")["average accuracy"].std())
        .sort_values("average accuracy", ascending=False)
    )
    print(f"\n{name}, mean over {options.seeds} seeds:\n{means.round(3).to_string()}")
    data = "" if name == "wordnet" else "DATA=folder-with-val_wiki.json "
    record = {
        "command": f"make family {data}WEIGHTS='{'--weights ' * options.weights}--seeds {options.seeds}'",
        "learners": means.reset_index().to_dict("records"),
    }
    if len(configs) > 1:
        pairs = cp.compare(table, by="learner")
        shown = against(pairs, "emr")
        print(
            f"\n{name}, average accuracy minus EMR's, paired by seed, 95 % intervals:\n{shown.round(3).to_string()}"
        )
        record |= {
            "against emr": shown.reset_index().to_dict("records"),
            "all pairs": pairs.to_dict("records"),
        }
    write_json(folder / "family.json", record)


def against(pairs: pd.DataFrame, base: str) -> pd.DataFrame:
    """The pairs with `base` in them, turned so that each is a learner minus `base`."""
    beside = pairs[(pairs["one"] == base) | (pairs["other"] == base)].copy()
    turned, ends = beside["one"] == base, ["low", "high", "bootstrap low", "bootstrap high"]
    beside.loc[turned, ["difference", *ends]] *= -1
    beside.loc[turned, ends] = beside.loc[
        turned, ["high", "low", "bootstrap high", "bootstrap low"]
    ].to_numpy()
    beside["learner"] = beside["one"].where(~turned, beside["other"])
    return beside.set_index("learner").sort_values("difference", ascending=False)[
        ["difference", *ends, "agree", "pairs", "not held equal"]
    ]


if __name__ == "__main__":
    sys.exit(main())
