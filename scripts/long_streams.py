"""Long streams: does a stage cost the same whatever its number? `make long DATA=folder-with-fewrel80`.

Trains Static and Dynamic ConPET, and Dynamic with the selector trained on labels, on WordNet (32 tasks of 2) and on
FewRel's 80 relations (40 tasks of 2), then prints accuracies, what a stage costs against its number (training and
evaluation apart, the slope of training with its 95 % interval), and what a module weighs on disk; the costs are drawn
too. Seconds are the CPU's, which other work on the machine hardly changes. Runs are kept under --folder; the same
command goes on or loads them.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd
import torch
from main_job import picture
from scipy.stats import linregress, t

import conpet_lib as cp
from conpet_lib import plots

CONFIGS = {
    "static": cp.StaticConfig(),
    "dynamic": cp.DynamicConfig(),
    "dynamic-labels": cp.DynamicConfig(selector="labels"),
}


def main() -> int:
    """Train or load, print, draw."""
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
    streams = {
        "wordnet": cp.make_stream(cp.load_corpus("wordnet"), 32, 2, train=60, valid=5, test=25)
    }
    if options.data:
        streams["fewrel80"] = cp.make_stream(
            cp.load_corpus("fewrel", options.data), 40, 2, train=40, valid=8, test=20
        )
    rows, costs, backbone = [], [], cp.load_backbone("minilm-l6", device="cpu")
    for name, stream in streams.items():
        for kind, config in ((kind, CONFIGS[kind]) for kind in options.learners):
            run = cp.train(
                stream,
                backbone,
                config,
                seed=options.seed,
                folder=options.folder / f"{name}-{kind}",
            )
            table = stage_costs(run).assign(stream=name, learner=kind)
            costs.append(table)
            rows.append(line(run, table, name, kind))
    print("\n" + pd.DataFrame(rows).set_index(["stream", "learner"]).T.to_string())
    print(f"\nFigure: {draw(pd.concat(costs), options.folder / 'stage_costs.png')}")
    return 0


def stage_costs(run: cp.runs.Run) -> pd.DataFrame:
    """A row a stage: CPU seconds of training and of evaluation, rows trained on, memory in MiB."""
    return pd.DataFrame(
        {
            "stage": cost["stage"],
            "training": cost["cpu"].get("selector", 0.0) + cost["cpu"]["module"],
            "evaluation": cost["cpu"]["evaluation"],
            "rows trained on": cost["counts"]["top_rows_trained"],
            "memory": max(cost["host"].values()) / 2**20,
        }
        for cost in run.costs
    )


def line(run: cp.runs.Run, table: pd.DataFrame, stream: str, kind: str) -> dict:
    """What one run came to; a slope is relative to the mean stage, in % a stage, over the stages from 2 on."""
    later = table[table["stage"] > 1]
    fit = linregress(later["stage"], later["training"])
    half, mean = t.ppf(0.975, len(later) - 2) * fit.stderr, later["training"].mean()
    modules = [
        folder
        for folder in (run.folder / "modules").iterdir()
        if not folder.name.startswith("selector")
    ]
    bytes_of = [
        sum(file.stat().st_size for file in folder.glob("*.safetensors")) for folder in modules
    ]
    weights = [4 * sum(map(torch.numel, module.parameters())) for module in run.learner.modules]
    summary = run.summary()
    return {
        "stream": stream,
        "learner": kind,
        "average accuracy": f"{summary['average accuracy']:.1%}",
        "forgetting": f"{100 * summary['forgetting']:.1f} points",
        "selector": f"{summary['selector accuracy']:.1%}",
        "training, CPU s a stage": f"{mean:.2f}",
        "its slope, % a stage": f"{100 * fit.slope / mean:+.2f} [{100 * (fit.slope - half) / mean:+.2f}, "
        f"{100 * (fit.slope + half) / mean:+.2f}]",
        "rows trained on, a stage": " to ".join(
            f"{count:,}"
            for count in sorted({*later["rows trained on"].agg(["min", "max"]).astype(int)})
        ),
        "evaluation, CPU s, stage 2 / last": f"{later['evaluation'].iloc[0]:.1f} / {later['evaluation'].iloc[-1]:.1f}",
        "memory, MiB, stage 2 / last": f"{later['memory'].iloc[0]:,.0f} / {later['memory'].iloc[-1]:,.0f}",
        "weight files, KiB a module": f"{max(bytes_of) / 1024:.1f}",
        "of it adapter and head": f"{max(weights) / 1024:.1f}",
        "minutes": f"{summary['seconds'] / 60:.1f}",
    }


def draw(costs: pd.DataFrame, path: Path) -> Path:
    """Training and evaluation seconds against the stage, a panel a stream; a line a learner."""
    names = costs["stream"].unique()
    panels = plots.axes(7 * len(names), 5, len(names))
    for ax, name in zip(panels, names):
        for kind, table in costs[costs["stream"] == name].groupby("learner"):
            color = plots.LOOKS.get(kind, (kind, plots.PALETTE[2]))[1]
            ax.plot(table["stage"], table["training"], color=color, label=f"{kind}: training")
            ax.plot(
                table["stage"],
                table["evaluation"],
                color=color,
                linestyle=":",
                label=f"{kind}: evaluation",
            )
        ax.set(xlabel="stage", ylabel="CPU seconds", ylim=(0, None))
        ax.set_title(
            f"{name}: training costs the same at every stage;\ntesting all tasks seen does not",
            loc="left",
        )
    panels[0].legend(
        fontsize=11, frameon=False, ncols=2, loc="upper left", bbox_to_anchor=(0, -0.15)
    )
    return picture(panels[0], path)


if __name__ == "__main__":
    sys.exit(main())
