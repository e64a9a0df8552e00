"""Comparing: many runs: train what is missing, list them, and say how far they differ.
In: streams, configs and seeds, or folders of runs. Out: DataFrames, a row a run or a row a comparison.
May import `training` and `runs`. Start at `grid`, `runs_table`, `compare`."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from conpet_lib.core.errors import ConpetError
from conpet_lib.runs.run import Run, load_run

BACKBONE = (
    "fingerprint",
    "exit_layer",
    "tuned_layers",
    "max_tokens",
)  # columns from the record of the backbone


def runs_table(runs: str | Path | Iterable[Run | Path]) -> pd.DataFrame:
    """All runs under a folder, or those given: what each is of, every setting, and the numbers of its summary, once a
    stage is done. `problem` says what is wrong with a run that cannot be read."""
    rows = []
    if isinstance(runs, (str, Path)):
        runs = sorted(path.parent for path in Path(runs).rglob("run.json"))
    for run in runs:
        rows.append(
            row := {"folder": str(getattr(run, "folder", run)), "problem": "", "finished": False}
        )
        try:
            run = run if isinstance(run, Run) else load_run(run)
            stream, backbone = run.record["stream"], run.record["backbone"]
            row |= {
                "finished": run.finished,
                "stages": run.record["stages_done"],
                "corpus": stream["corpus"],
                "tasks": len(stream["tasks"]),
                "stream": stream["fingerprint"],
                "seed": run.record["seed"],
                "backbone": backbone["name"],
                **{name: backbone[name] for name in BACKBONE},
                **run.record["config"],
                **(run.summary() if run.record["stages_done"] else {}),
            }
        except ConpetError as error:
            row["problem"] = str(error)
    return pd.DataFrame(rows, columns=None if rows else ["folder", "problem", "finished"])
