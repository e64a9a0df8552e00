"""Tables: runs beside each other, a row each.

In: runs, or folders of runs. Out: a DataFrame. Loads neither transformers nor peft. Start at
`runs_table`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from conpet_lib.core.arguments import checked
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import user_path
from conpet_lib.runs.run import Run, load_run

BACKBONE = ("fingerprint", "exit_layer", "tuned_layers")  # columns from the record of the backbone
FIRST_COLUMNS = ["folder", "problem", "finished"]


@checked
def runs_table(runs: str | Path | Iterable[Run | Path]) -> pd.DataFrame:
    """All runs under a folder, or those given, a row each.

    Args:
        runs: A folder, in which all runs are found; or runs, or folders of runs.

    Returns:
        What each run is of, every setting, and, once a stage is done, the numbers of its summary.
        `problem` says what is wrong with a run that cannot be read.
    """
    if isinstance(runs, (str, Path)):
        runs = sorted(path.parent for path in user_path(runs).rglob("run.json"))
    rows = [_row(run) for run in runs]
    return pd.DataFrame(rows, columns=None if rows else FIRST_COLUMNS)


def _row(run: Run | Path) -> dict[str, Any]:
    """One run's row."""
    folder = run.folder if isinstance(run, Run) else run
    row: dict[str, Any] = {"folder": str(folder), "problem": "", "finished": False}
    try:
        if not isinstance(run, Run):
            run = load_run(run)
        record = run.record
        backbone = record.backbone
        row |= {
            "finished": run.finished,
            "stages": record.stages_done,
            "corpus": record.stream.corpus,
            "tasks": len(record.stream.tasks),
            "stream": record.stream.fingerprint,
            "seed": record.seed,
            "backbone": backbone.name,
        }
        row |= {name: getattr(backbone, name) for name in BACKBONE}
        row |= record.config
        if record.stages_done:
            row |= run.summary()
            row["tested tasks"] = run.tested_tasks.iloc[-1]
    except ConpetError as error:
        row["problem"] = str(error)
    return row
