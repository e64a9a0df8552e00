"""Comparing: many runs: train what is missing, list them, and say how far they differ.

In: streams, configs and seeds, or folders of runs. Out: DataFrames, a row a run or a row a comparison.
May import `training` and `runs`. Start at `grid`, `runs_table`, `compare`.
"""

import itertools
import json
import os
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path

import filelock
import joblib
import numpy as np
import pandas as pd
from scipy import stats
from tqdm.auto import tqdm

from conpet_lib.backbone import Backbone, load_backbone
from conpet_lib.config import VanillaConfig
from conpet_lib.errors import ConpetError, unknown
from conpet_lib.files import digest
from conpet_lib.registry import CONFIGS
from conpet_lib.runs import Run, load_run
from conpet_lib.seeds import numpy_generator
from conpet_lib.tasks import Stream
from conpet_lib.training import describe, train

BACKBONE = "fingerprint", "exit_layer", "tuned_layers", "max_tokens"      # columns from the record of the backbone
load_once = lru_cache(maxsize=1)(load_backbone)      # a worker process trains many runs on one backbone


def grid(streams: Sequence[Stream], backbone: Backbone, configs: Sequence[VanillaConfig], seeds: Iterable[int],
         folder: str | Path, processes: int = -1, bar: bool = True, cache: Path | None = None,
         max_tokens: int = 128) -> pd.DataFrame:
    """Train every config on every stream with every seed, each run in a folder of its own.

    Finished runs are skipped, unfinished ones go on; so the same call after a kill does what is missing. The runs
    go through joblib: inside `joblib.parallel_config(backend="dask")` they run on a Dask cluster, where `folder` and
    the backbone must be readable under the same names.

    Args: processes: run at a time; -1 for one a core. bar, cache, max_tokens: as in `train`.
    Returns: `runs_table` of these runs; `problem` says why one failed. A warning names those that did.
    Raises: ConpetError if a worker process was killed, as it is when memory is short.
    """
    about = backbone.name, backbone.tuned_layers, backbone.exit_layer, backbone.device.type, str(backbone.dtype)[6:]
    jobs = {}
    for stream, config, seed in itertools.product(streams, configs, seeds):
        name = digest(json.dumps(describe(stream, backbone, config, seed, max_tokens)))[:16]
        jobs[Path(folder) / f"{config.learner}-seed-{seed}-{name}"] = (stream, about, config, seed, cache, max_tokens)
    missing = [place for place in jobs if not is_finished(place)]
    work = (joblib.delayed(one_run)(place, *jobs[place]) for place in missing)
    problems = {}
    with tqdm(total=len(jobs), initial=len(jobs) - len(missing), disable=not bar, unit="run") as progress:
        try:
            for place, problem in joblib.Parallel(n_jobs=processes, return_as="generator_unordered")(work):
                problems |= {place: problem} if problem else {}
                progress.update()
        except BrokenProcessPool as error:
            raise ConpetError(f"A worker process of the grid was killed ({error}). If memory is short, say "
                              "processes=1. What was finished is kept, and the same call goes on.") from None
    if problems:
        warnings.warn(f"{len(problems)} of {len(jobs)} runs did not finish; the same call tries them again:\n"
                      + "\n".join(f"{place.name}: {problem}" for place, problem in problems.items()), stacklevel=2)
    return table_of(jobs, problems)


def is_finished(place: Path) -> bool:
    """Whether a folder holds a finished run."""
    try:
        return load_run(place).finished
    except ConpetError:
        return False


def one_run(place: Path, stream: Stream, about: tuple, config: VanillaConfig, seed: int, cache: Path | None,
            max_tokens: int) -> tuple[Path, str]:
    """In a worker process: train a run; its folder, and what went wrong in words. Stops when its caller is gone."""
    caller = os.getppid()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(place / ".lock", timeout=60):
            pass                # a worker of a grid that was killed lets go of it after its next step
        train(stream, load_once(*about), config, seed, place, bar=False, cache=cache, max_tokens=max_tokens,
              on_step=lambda step: os.getppid() != caller)
        return place, ""
    except Exception as error:
        return place, f"{type(error).__name__}: {error}"


def runs_table(folder: str | Path) -> pd.DataFrame:
    """All runs under a folder, a row each: what it is of, every setting of its config, and the numbers of its summary.

    `problem` says what is wrong with a run that cannot be read; the numbers of a run without a stage are missing.
    """
    return table_of(sorted(path.parent for path in Path(folder).rglob("run.json")), {})


def table_of(runs: Iterable[Run | Path], problems: dict[Path, str]) -> pd.DataFrame:
    """See `runs_table`; problems: known ones, by folder."""
    rows = []
    for run in runs:
        row = {"folder": str(getattr(run, "folder", run)), "problem": problems.get(run, "")}
        try:
            run = run if isinstance(run, Run) else load_run(run)
            stream, backbone = run.record["stream"], run.record["backbone"]
            row |= {**run.record["config"], "seed": run.record["seed"], "corpus": stream["corpus"],
                    "tasks": len(stream["tasks"]), "stream": stream["fingerprint"], "backbone": backbone["name"],
                    **{name: backbone[name] for name in BACKBONE}, "stages": run.record["stages_done"], "finished": run.finished}
            row |= run.summary() if run.record["stages_done"] else {}
        except ConpetError as error:
            row["problem"] = row["problem"] or str(error)
        rows.append(row)
    return pd.DataFrame(rows)


def compare(runs: Sequence[Run] | pd.DataFrame, by: str = "learner", measure: str = "average accuracy") -> pd.DataFrame:
    """Mean paired difference of each two values of a column, with 95 % intervals.

    A pair is two runs of the same stream and seed. `low` and `high` are Student's t interval of the mean difference,
    `bootstrap low` and `bootstrap high` the percentile bootstrap's over pairs (9,999 draws), which is too narrow for
    few pairs; `agree` is false where one of them holds zero and the other does not.

    Args: runs: runs, or rows of `runs_table`. by, measure: columns of `runs_table`.
    Returns: a row a comparison: one, other, difference (one minus other), the intervals (not a number for one pair),
        pairs, seeds, and in `not held equal` the settings that differ besides `by`.
    Raises: ConpetError for unfinished runs, and for runs that cannot be paired since their data differ.
    """
    table = runs if isinstance(runs, pd.DataFrame) else table_of(runs, {})
    for column in (by, measure):
        if column not in table:
            raise unknown("column", column, table.columns)
    faults = [f"{folder} is not finished" for folder in table.loc[table["finished"].ne(True), "folder"]]
    table = table.assign(**{by: table[by].fillna("None").astype(str)})
    for data, rows in table.groupby(["stream", "seed"]):
        counts = rows[by].value_counts().reindex(sorted(table[by].unique()), fill_value=0)
        if (counts != 1).any():
            faults.append(f"stream {data[0][:8]}, seed {data[1]} has runs: " +
                          ", ".join(f"{count} with {by}={value}" for value, count in counts.items()))
    if faults:
        raise ConpetError(f"These runs cannot be paired by {by}: {'; '.join(faults)}. Each value needs one finished run "
                          "on the same streams and seeds, as `grid` makes them; choose among runs with runs_table.")
    found = []
    for one, other in itertools.combinations(table[by].unique(), 2):
        sides = [table[table[by] == value].set_index(["stream", "seed"]).sort_index() for value in (one, other)]
        gain = (sides[0][measure] - sides[1][measure]).to_numpy(dtype=float)
        both = set.intersection(*(set(CONFIGS[name].__dataclass_fields__) for side in sides for name in side["learner"]))
        plain = [side[sorted({*both, "learner", *BACKBONE} - {by})].astype(object).fillna("None").astype(str)
                 for side in sides]
        unequal = plain[0].columns[(plain[0] != plain[1]).any()]
        found.append({"one": one, "other": other, "difference": gain.mean(), **intervals(gain), "pairs": len(gain),
                      "seeds": table["seed"].nunique(), "not held equal": ", ".join(unequal)})
    return pd.DataFrame(found)


def intervals(gain: np.ndarray) -> dict:
    """The 95 % intervals of a mean of paired differences; see `compare`."""
    names = "low", "high", "bootstrap low", "bootstrap high"
    if len(gain) < 2:
        return {**dict.fromkeys(names, np.nan), "agree": True}
    t = stats.t.interval(0.95, len(gain) - 1, gain.mean(), stats.sem(gain)) if np.ptp(gain) else (gain[0], gain[0])
    drawn = stats.bootstrap((gain,), np.mean, method="percentile", rng=numpy_generator(0, "bootstrap"))
    ends = [*map(float, t), *map(float, drawn.confidence_interval)]
    return {**dict(zip(names, ends)), "agree": (ends[0] <= 0 <= ends[1]) == (ends[2] <= 0 <= ends[3])}
