"""The main job: vanilla, Static and Dynamic ConPET on the default stream, one table, two pictures.

`make run` calls this; what is done is loaded, what is missing is trained. Start at `job`.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

import pandas as pd

import conpet_lib as cp
from conpet_lib.core.files import write_atomically

SETTINGS = {
    "smollm2-135m": {"learning_rate": 1e-3}
}  # by validation accuracy; the default, 2e-3, serves minilm-l6
FORMS = {
    "average accuracy": "{:.1%}".format,
    "whole accuracy": "{:.1%}".format,  # of the table's rows
    "forgetting": lambda part: f"{100 * part:.1f} points",
    "selector accuracy": "{:.1%}".format,
    "trained parameters": "{:,}".format,
    "share of backbone": "{:.2%}".format,
    "steps": "{:,}".format,
    "rows with gradient": "{:,}".format,
    "seconds": "{:.0f} s".format,
    "seconds of prefix": "{:.0f} s".format,
    "peak memory": lambda size: f"{size / 2**20:,.0f} MiB",
}


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and do the job; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--backbone", default="minilm-l6", help="minilm-l6, smollm2-135m, a folder or a hub name"
    )
    parser.add_argument("--device", help="cpu, cuda or mps; default: what is there")
    parser.add_argument("--seed", type=int, default=0, help="of rows, order and training")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs"), help="where runs and pictures are kept"
    )
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        job(**vars(parser.parse_args(arguments)))
    except (cp.ConpetError, KeyboardInterrupt) as error:
        print(f"\n{str(error) or 'Stopped.'}", file=sys.stderr)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def picture(ax: cp.plots.Axes, path: Path) -> Path:
    """Write a figure, and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_atomically(path, lambda file: file.write_bytes(cp.plots.png(ax)))


def job(backbone: str, device: str | None, seed: int, folder: Path) -> None:
    """Train or load the three runs, draw and print."""
    corpus = cp.load_corpus("wordnet")
    stream = cp.make_stream(corpus, split_seed=seed, order_seed=seed)
    model, more = cp.load_backbone(backbone, device=device), SETTINGS.get(backbone, {})
    print(f"{corpus}\n{stream}\n{model}\n", flush=True)
    folder = folder / backbone.replace("/", "-") / f"seed-{seed}"
    threads = 1 if model.hidden_size < 512 else os.cpu_count()
    configs = cp.VanillaConfig(**more), cp.StaticConfig(**more), cp.DynamicConfig(**more)
    runs = [
        cp.train(stream, model, config, seed, folder / config.learner, threads=threads)
        for config in configs
    ]
    numbers = pd.DataFrame({cp.plots.looks(run)[0]: run.summary() for run in runs}).loc[list(FORMS)]
    table = numbers.apply(lambda row: row.map(FORMS[row.name], na_action="ignore"), axis=1).fillna(
        "-"
    )
    _, static, dynamic = (100 * run.average_accuracy.iloc[-1] for run in runs)
    curves = picture(cp.plots.forgetting_curves(runs), folder / "forgetting_curves.png")
    matrices = picture(cp.plots.accuracy_heatmaps(runs), folder / "accuracy_matrices.png")
    print(
        f"\n{table.to_string()}\n\nStatic minus Dynamic: {static - dynamic:+.1f} points of average accuracy "
        f"(one seed).\n\nForgetting curves: {curves}\nAccuracy matrices: {matrices}\nRuns:              {folder}\n"
        "The notebooks:     make lab"
    )


if __name__ == "__main__":
    sys.exit(main())
