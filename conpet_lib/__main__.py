"""The main job: vanilla, Static and Dynamic ConPET on the default stream, one table, two pictures.

`make run` calls this. What is done is loaded, what is missing is trained.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

import pandas as pd

import conpet_lib as cp
from conpet_lib import plots
from conpet_lib.runs import Run

LEARNING_RATES = {"smollm2-135m": 1e-3}      # by validation accuracy; 2e-3, the default, serves minilm-l6


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, train or load, print and draw; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m conpet_lib", description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="minilm-l6", help="minilm-l6, smollm2-135m, a folder or a hub name")
    parser.add_argument("--device", help="cpu, cuda or mps; default: what is there")
    parser.add_argument("--seed", type=int, default=0, help="of rows, order and training")
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="where runs and pictures are kept")
    options = parser.parse_args(arguments)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        runs = train_all(options)
    except (cp.ConpetError, KeyboardInterrupt) as error:
        print(f"\n{str(error) or 'Stopped.'}", file=sys.stderr)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    folder, (_, static, dynamic) = runs[0].folder.parent, (100 * run.average_accuracy.iloc[-1] for run in runs)
    print(f"\n{table(runs).to_string()}\n\nStatic minus Dynamic: {static - dynamic:+.1f} points of average accuracy "
          "(one seed).")
    curves = plots.save(plots.forgetting_curves(runs), folder / "forgetting_curves.png")
    matrices = plots.save(plots.accuracy_heatmaps(runs), folder / "accuracy_matrices.png")
    print(f"\nForgetting curves: {curves}\nAccuracy matrices: {matrices}\nRuns:              {folder}\n"
          "The notebooks:     make lab")
    return 0


def train_all(options: argparse.Namespace) -> list[Run]:
    """The three runs, trained or loaded."""
    corpus = cp.load_corpus("wordnet")
    stream = cp.make_stream(corpus, split_seed=options.seed, order_seed=options.seed)
    backbone = cp.load_backbone(options.backbone, device=options.device)
    print(f"{corpus}\n{stream}\n{backbone}\n", flush=True)
    rate = {"learning_rate": LEARNING_RATES[options.backbone]} if options.backbone in LEARNING_RATES else {}
    configs = cp.VanillaConfig(**rate), cp.StaticConfig(**rate), cp.DynamicConfig(**rate)
    folder = options.folder / options.backbone.replace("/", "-") / f"seed-{options.seed}"
    threads = 1 if backbone.hidden_size < 512 else os.cpu_count()
    return [cp.train(stream, backbone, config, seed=options.seed, folder=folder / config.learner, threads=threads)
            for config in configs]


def table(runs: list[Run]) -> pd.DataFrame:
    """The comparison, a column a learner, in the units that people read."""
    percent, points = "{:.1%}".format, (lambda value: f"{100 * value:.1f} points")
    forms = {"average accuracy": percent, "whole accuracy": percent, "forgetting": points, "selector accuracy": percent,
             "trained parameters": "{:,}".format, "share of backbone": "{:.2%}".format, "steps": "{:,}".format,
             "rows with gradient": "{:,}".format, "seconds": "{:.0f} s".format, "seconds of prefix": "{:.0f} s".format,
             "peak memory": lambda size: f"{size / 2**20:,.0f} MiB"}
    return pd.DataFrame({plots.NAMES[run.name]: {field: "-" if row[field] != row[field] else form(row[field])
                                                 for field, form in forms.items()}
                         for run in runs for row in [run.summary()]})


if __name__ == "__main__":
    sys.exit(main())
