"""Long streams: does a stage cost the same whatever its number?

Usage: `make long [DATA=folder-with-fewrel80]`, or `python scripts/long_streams.py --help`.

Trains Static and Dynamic ConPET, and Dynamic with the selector trained on labels, on WordNet (32
tasks of 2) and on FewRel's 80 relations (40 tasks of 2). Then it prints accuracies, what a stage
costs against its number (training and evaluation apart, the slope of training with its 95 %
interval), and what a module weighs on disk; the costs are drawn, too. Seconds are the CPU's, which
other work on the machine hardly changes. Runs are kept under --folder; the same command goes on or
loads them.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd
from main_job import percent, picture, points
from scipy.stats import linregress, t

import conpet_lib as cp
from conpet_lib import plots

CONFIGS = {
    "static": cp.StaticConfig(),
    "dynamic": cp.DynamicConfig(),
    "dynamic-labels": cp.DynamicConfig(selector="labels"),
}
BYTES_A_WEIGHT = 4  # float32


def main() -> int:
    """Train or load, print, draw; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data",
        type=Path,
        nargs="?",
        help="folder with all 80 FewRel relations in the official layout",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learners", nargs="+", choices=CONFIGS, default=list(CONFIGS))
    parser.add_argument("--folder", type=Path, default=Path("runs/long"))
    options = parser.parse_args()
    streams = make_streams(options.data)
    backbone = cp.load_backbone("minilm-l6", device="cpu")
    rows = []
    costs = []
    for name, stream in streams.items():
        for kind in options.learners:
            folder = options.folder / f"{name}-{kind}"
            run = cp.train(stream, backbone, CONFIGS[kind], seed=options.seed, folder=folder)
            table = stage_costs(run).assign(stream=name, learner=kind)
            costs.append(table)
            rows.append({"stream": name, "learner": kind, **numbers(run, table)})
    print("\n" + pd.DataFrame(rows).set_index(["stream", "learner"]).T.to_string())
    print(f"\nFigure: {draw(pd.concat(costs), options.folder / 'stage_costs.png')}")
    return 0


def make_streams(data: Path | None) -> dict:
    """The long streams by name: WordNet's, and FewRel's if its folder is given."""
    wordnet = cp.load_corpus("wordnet")
    streams = {"wordnet": cp.make_stream(wordnet, 32, 2, train=60, valid=5, test=25)}
    if data:
        fewrel = cp.load_corpus("fewrel", data)
        streams["fewrel80"] = cp.make_stream(fewrel, 40, 2, train=40, valid=8, test=20)
    return streams


def stage_costs(run: cp.runs.Run) -> pd.DataFrame:
    """A row per stage: CPU seconds of training and evaluation, rows trained on, memory in MiB."""
    rows = []
    for cost in run.costs:
        seconds = cost["cpu"]
        row = {
            "stage": cost["stage"],
            "training": seconds.get("selector", 0.0) + seconds["module"],
            "evaluation": seconds["evaluation"],
            "rows trained on": cost["counts"]["top_rows_trained"],
            "memory": max(cost["host"].values()) / 2**20,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def numbers(run: cp.runs.Run, table: pd.DataFrame) -> dict[str, str]:
    """What one run came to, as text; costs are those of the stages from 2 on."""
    summary = run.summary()
    later = table[table["stage"] > 1]
    file_size = largest_file_size(run) / 1024
    module_size = largest_module_size(run) / 1024
    minutes = summary["seconds"] / 60
    return {
        "average accuracy": percent(summary["average accuracy"]),
        "forgetting": points(summary["forgetting"]),
        "selector": percent(summary["selector accuracy"]),
        **costs_a_stage(later),
        "weight files, KiB a module": one_decimal(file_size),
        "of it adapter and head": one_decimal(module_size),
        "minutes": one_decimal(minutes),
    }


def one_decimal(number: float) -> str:
    """A number with one digit after the point."""
    return f"{number:.1f}"


def costs_a_stage(later: pd.DataFrame) -> dict[str, str]:
    """What the stages from 2 on cost, and how that changes with their number."""
    mean = later["training"].mean()
    return {
        "training, CPU s a stage": f"{mean:.2f}",
        "its slope, % a stage": slope(later),
        "rows trained on, a stage": span(later["rows trained on"]),
        "evaluation, CPU s, stage 2 / last": ends(later["evaluation"], ".1f"),
        "memory, MiB, stage 2 / last": ends(later["memory"], ",.0f"),
    }


def ends(values: pd.Series, form: str) -> str:
    """The first and the last number of a column."""
    return f"{values.iloc[0]:{form}} / {values.iloc[-1]:{form}}"


def slope(later: pd.DataFrame) -> str:
    """How fast training seconds grow with the stage, in % of the mean stage, with the interval."""
    mean = later["training"].mean()
    fitted = fitted_slope(later["stage"], later["training"])
    growth, low, high = (100 * number / mean for number in fitted)
    return f"{growth:+.2f} [{low:+.2f}, {high:+.2f}]"


def fitted_slope(causes: pd.Series, costs: pd.Series) -> tuple[float, float, float]:
    """The slope of a straight line through points, and the ends of its 95 % interval."""
    fit = linregress(causes, costs)
    half_width = t.ppf(0.975, len(costs) - 2) * fit.stderr
    return fit.slope, fit.slope - half_width, fit.slope + half_width


def span(counts: pd.Series) -> str:
    """The least and the most of some counts, or the one number if they are equal."""
    least_and_most = sorted({int(counts.min()), int(counts.max())})
    return " to ".join(f"{count:,}" for count in least_and_most)


def largest_file_size(run: cp.runs.Run) -> int:
    """Bytes of the weight files of the largest task module."""
    sizes = []
    for folder in (run.folder / "modules").iterdir():
        if not folder.name.startswith("selector"):
            sizes.append(sum(file.stat().st_size for file in folder.glob("*.safetensors")))
    return max(sizes)


def largest_module_size(run: cp.runs.Run) -> int:
    """Bytes of the weights alone, adapter and head, of the largest task module."""
    counts = []
    for module in run.learner.modules:
        counts.append(sum(weight.numel() for weight in module.parameters()))
    return BYTES_A_WEIGHT * max(counts)


def draw(costs: pd.DataFrame, path: Path) -> Path:
    """Training and evaluation seconds against the stage: a panel per stream, a line per learner."""
    names = costs["stream"].unique()
    panels = plots.axes(7 * len(names), 5, len(names))
    for ax, name in zip(panels, names):
        draw_stream(ax, costs[costs["stream"] == name])
        title = f"{name}: training costs the same at every stage;\ntesting all tasks seen does not"
        plots.titled(ax, title, "stage", "CPU seconds")
    panels[0].legend(
        fontsize=11, frameon=False, ncols=2, loc="upper left", bbox_to_anchor=(0, -0.15)
    )
    return picture(panels[0], path)


def draw_stream(ax: plots.Axes, costs: pd.DataFrame) -> None:
    """The lines of one stream: whole for training, dotted for evaluation."""
    for kind, table in costs.groupby("learner"):
        # The selector on labels is no method of its own and has no colour in their table.
        color = plots.learner_look(kind).color if kind in cp.LEARNERS else plots.PALETTE[2]
        training = f"{kind}: training"
        evaluation = f"{kind}: evaluation"
        ax.plot(table["stage"], table["training"], color=color, label=training)
        ax.plot(table["stage"], table["evaluation"], color=color, linestyle=":", label=evaluation)
    ax.set_ylim(0, None)


if __name__ == "__main__":
    sys.exit(main())
