"""The main job: vanilla, Static and Dynamic ConPET, the latter two also with an exact part.

Usage: `make run [BACKBONE=minilm-l6|smollm2-135m] [SEED=0] [DEVICE=cpu|cuda|mps]`, or
`python scripts/main_job.py --help`. What is done is loaded, what is missing is trained.
Start at `job`.
"""

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd

import conpet_lib as cp
from conpet_lib.core.files import write_atomically

# Chosen by validation accuracy; the default, 2e-3, serves minilm-l6.
SETTINGS = {"smollm2-135m": {"learning_rate": 1e-3}}
SMALL_HIDDEN_SIZE = 512  # narrower backbones are slower with several threads than with one


def percent(part: float) -> str:
    """A part of 1 as a percentage."""
    return f"{part:.1%}"


def points(part: float) -> str:
    """A difference of two parts of 1, in percentage points."""
    return f"{100 * part:.1f} points"


def count(number: int) -> str:
    """A whole number with its thousands set apart."""
    return f"{number:,}"


def seconds(number: float) -> str:
    """Whole seconds."""
    return f"{number:.0f} s"


def mebibytes(size: float) -> str:
    """Bytes as MiB."""
    return f"{size / 2**20:,.0f} MiB"


# The columns of the table, in the order of `learner_configs`.
NAMES = ("Vanilla", "Static", "Dynamic", "Static, exact head", "Dynamic, exact selector")
# The rows of the table, in their order, and how each is written.
FORMS = {
    "average accuracy": percent,
    "whole accuracy": percent,
    "forgetting": points,
    "selector accuracy": percent,
    "trained parameters": count,
    "share of backbone": "{:.2%}".format,
    "steps": count,
    "rows with gradient": count,
    "seconds": seconds,
    "seconds of prefix": seconds,
    "peak memory": mebibytes,
}


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and do the job; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--backbone", default="minilm-l6", help="minilm-l6, smollm2-135m, a folder or a hub name"
    )
    parser.add_argument("--device", help="cpu, cuda or mps; default: what is there")
    parser.add_argument("--seed", type=int, default=0, help="of rows, order and training")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs"), help="where runs and pictures are kept"
    )
    options = parser.parse_args(arguments)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        job(options.backbone, options.device, options.seed, options.folder)
    except KeyboardInterrupt as stop:
        message = str(stop) if str(stop) else "Stopped."
        print(f"\n{message}", file=sys.stderr)
        return 130  # what a shell gives for a program that Ctrl-C ended
    except cp.ConpetError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def learner_configs(settings: dict) -> dict[str, Any]:
    """The configs of the five runs, with the settings of a backbone, by the names of their folders.

    Args:
        settings: Those that are not the default.
    """
    return {
        "vanilla": cp.VanillaConfig(**settings),
        "static": cp.StaticConfig(**settings),
        "dynamic": cp.DynamicConfig(**settings),
        "static-exact": cp.StaticConfig(head="exact", **settings),
        "dynamic-exact": cp.DynamicConfig(selector="exact", **settings),
    }


def job(backbone: str, device: str | None, seed: int, folder: Path) -> None:
    """Train or load the runs, draw and print."""
    corpus = cp.load_corpus("wordnet")
    stream = cp.make_stream(corpus, split_seed=seed, order_seed=seed)
    model = cp.load_backbone(backbone, device=device)
    print(f"{corpus}\n{stream}\n{model}\n", flush=True)
    folder = folder / backbone.replace("/", "-") / f"seed-{seed}"
    threads = 1 if model.hidden_size < SMALL_HIDDEN_SIZE else os.cpu_count()
    runs = []
    for name, config in learner_configs(SETTINGS.get(backbone, {})).items():
        run = cp.train(stream, model, config, seed, folder / name, threads=threads)
        runs.append(run)
    report(runs, folder)


def report(runs: list[cp.runs.Run], folder: Path) -> None:
    """Print the table of the runs, draw the two pictures and say where everything is."""
    _, static, dynamic, exact_head, exact_selector = (
        100 * run.average_accuracy.iloc[-1] for run in runs
    )
    curves = picture(cp.plots.forgetting_curves(runs), folder / "forgetting_curves.png")
    matrices = picture(cp.plots.accuracy_heatmaps(runs), folder / "accuracy_matrices.png")
    gains = f"{exact_head - static:+.1f} (Static), {exact_selector - dynamic:+.1f} (Dynamic)"
    print(
        f"\n{summary_table(runs).to_string()}\n\n"
        f"Static minus Dynamic: {static - dynamic:+.1f} points of average accuracy (one seed).\n"
        f"Exact minus trained: {gains}. Exact: the head, or the selector, is\n"
        "solved after each stage over all rows seen, in place of a training by replay.\n\n"
        f"Forgetting curves: {curves}\n"
        f"Accuracy matrices: {matrices}\n"
        f"Runs:              {folder}\n"
        "The notebooks:     make lab"
    )


def summary_table(runs: list[cp.runs.Run]) -> pd.DataFrame:
    """The numbers of each run as text, one column per run; "-" where a run has none."""
    numbers = pd.DataFrame([run.summary() for run in runs]).T
    numbers.columns = pd.Index(NAMES)
    rows = numbers.loc[list(FORMS)]
    texts = rows.apply(lambda row: row.map(FORMS[row.name], na_action="ignore"), axis=1)
    return texts.fillna("-")


def picture(ax: cp.plots.Axes, path: Path) -> Path:
    """Write a figure as PNG; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_atomically(path, lambda file: file.write_bytes(cp.plots.png(ax)))


if __name__ == "__main__":
    sys.exit(main())
