"""Comparing: many runs: train what is missing, list them, and say how far they differ.
In: streams, configs and seeds, or folders of runs. Out: DataFrames, a row a run or a row a comparison.
May import `training` and `runs`. Start at `grid`, `runs_table`, `compare`."""

import itertools
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
import filelock
import joblib
import numpy as np
import pandas as pd
from scipy import stats
from tqdm.auto import tqdm
from conpet_lib.assets import cache_folder
from conpet_lib.backbone import Backbone, load_backbone
from conpet_lib.config import VanillaConfig
from conpet_lib.errors import ConpetError, check_known
from conpet_lib.files import numpy_generator
from conpet_lib.registry import CONFIGS
from conpet_lib.runs import Run, load_run
from conpet_lib.tasks import Stream
from conpet_lib.training import describe, folder_name, train

BACKBONE = "fingerprint", "exit_layer", "tuned_layers", "max_tokens"      # columns from the record of the backbone
load_once = lru_cache(maxsize=1)(load_backbone)      # a worker process trains many runs on one backbone

def grid(streams: Sequence[Stream], backbone: Backbone, configs: Sequence[VanillaConfig], seeds: Iterable[int],
         folder: str | Path | None = None, processes: int = -1, bar: bool = True,
         cache: Path | None = None) -> pd.DataFrame:
    """Train every config on every stream with every seed, each run in a folder of its own.
    Finished runs are skipped, unfinished ones go on, so the same call after a kill does what is missing. Inside
    `joblib.parallel_config(backend="dask")` the runs go to a Dask cluster that can read `folder` and the backbone.
    Args: folder: of the runs' folders, default the user's cache. processes: -1 for one a core. bar, cache: see `train`.
    Returns: `runs_table` of these runs; a warning and the column `problem` say which failed, and why."""
    about = backbone.name, backbone.tuned_layers, backbone.exit_layer, backbone.device.type, str(backbone.dtype)[6:]
    jobs = {Path(folder or cache_folder() / "runs", folder_name(describe(stream, backbone, config, seed, 128))):
            (stream, about, config, seed, cache) for stream, config, seed in itertools.product(streams, configs, seeds)}
    missing = [place for place, done in zip(jobs, runs_table(jobs)["finished"]) if not done]
    warnings.filterwarnings("ignore", "A worker stopped")      # joblib puts a fresh one in the place of one that grew
    work = joblib.Parallel(n_jobs=processes, return_as="generator_unordered")(
        joblib.delayed(one_run)(place, *jobs[place]) for place in missing)
    there = f"runs: {len(jobs) - len(missing)} of {len(jobs)} were there"
    problems = {place: said for place, said in tqdm(work, there, len(missing), disable=not bar) if said}
    if problems:
        warnings.warn(f"{len(problems)} of {len(jobs)} runs did not finish; the same call tries them again:\n" +
                      "\n".join(f"{place.name}: {problem}" for place, problem in problems.items()), stacklevel=2)
    return runs_table(jobs).assign(problem=[problems.get(place, "") for place in jobs])

def one_run(place: Path, stream: Stream, about: tuple, config: VanillaConfig, seed: int, cache: Path | None) -> tuple:
    """In a worker process: train a run; its folder, and what went wrong in words. Stops when its caller is gone."""
    caller = os.getppid()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(place / ".lock", timeout=60):
            pass                # a worker of a grid that was killed lets go of it after its next step
        train(stream, load_once(*about), config, seed, place, lambda step: os.getppid() != caller, False, cache)
        return place, ""
    except Exception as error:
        return place, f"{type(error).__name__}: {error}"

def runs_table(runs: str | Path | Iterable[Run | Path]) -> pd.DataFrame:
    """All runs under a folder, or those given: what each is of, every setting, and the numbers of its summary, once a
    stage is done. `problem` says what is wrong with a run that cannot be read."""
    rows = []
    if isinstance(runs, (str, Path)):
        runs = sorted(path.parent for path in Path(runs).rglob("run.json"))
    for run in runs:
        rows.append(row := {"folder": str(getattr(run, "folder", run)), "problem": "", "finished": False})
        try:
            run = run if isinstance(run, Run) else load_run(run)
            stream, backbone = run.record["stream"], run.record["backbone"]
            row |= {"finished": run.finished, "stages": run.record["stages_done"], "corpus": stream["corpus"],
                    "tasks": len(stream["tasks"]), "stream": stream["fingerprint"], "seed": run.record["seed"],
                    "backbone": backbone["name"], **{name: backbone[name] for name in BACKBONE}, **run.record["config"],
                    **(run.summary() if run.record["stages_done"] else {})}
        except ConpetError as error:
            row["problem"] = str(error)
    return pd.DataFrame(rows, columns=None if rows else ["folder", "problem", "finished"])

def compare(runs: Sequence[Run] | pd.DataFrame, by: str = "learner", measure: str = "average accuracy") -> pd.DataFrame:
    """Mean paired difference of each two values of a column, with 95 % intervals; a pair has one stream, one seed.
    Args: runs: runs, or rows of `runs_table`. by, measure: columns of it; `order_seed`, if added, is paired by seed.
    Returns: a row a comparison: one, other (as they come), difference (one minus other), low and high (Student's t),
        bootstrap low and high (percentile, 9,999 draws of pairs: too narrow for few), agree (false where one interval
        alone holds zero), pairs, seeds, and in `not held equal` the settings of both that differ besides `by`.
    Raises: ConpetError for unfinished runs, and for runs that cannot be paired since their data differ."""
    table = runs if isinstance(runs, pd.DataFrame) else runs_table(runs)
    for column in (by, measure):
        check_known("column", column, table.columns)
    table = table.assign(**{by: table[by].convert_dtypes().astype(object).fillna("None").astype(str)})
    held = ["seed"] if by == "order_seed" else ["stream", "seed"]
    counts = pd.crosstab([table[name] for name in held], table[by])
    wrong, open_runs = counts[(counts != 1).any(axis=1)], table.loc[~table["finished"], "folder"]
    if len(wrong) or len(open_runs):
        raise ConpetError(f"These runs cannot be paired by {by}. Each value needs one finished run on each "
                          f"{' and '.join(held)}, as `grid` makes them; choose among runs with `runs_table`."
                          + (f" Runs found where it is not so:\n{wrong}" if len(wrong) else "")
                          + "".join(f"\n{folder} is not finished." for folder in open_runs))
    values, found = table.pivot(index=held, columns=by, values=measure), []
    for one, other in itertools.combinations(table[by].unique(), 2):
        gain, both = (values[one] - values[other]).to_numpy(dtype=float), table[table[by].isin([one, other])]
        shared = set.intersection(*({field.name for field in fields(CONFIGS[name])} for name in both["learner"]))
        names = sorted({*shared, *BACKBONE, "corpus", "tasks"} & {*both} - {by})
        varied = both.astype(str).groupby(held)[names].nunique(dropna=False).max()
        found.append({"one": one, "other": other, "difference": gain.mean(), **intervals(gain), "pairs": len(gain),
                      "seeds": table["seed"].nunique(), "not held equal": ", ".join(varied.index[varied > 1])})
    return pd.DataFrame(found)

def intervals(gain: np.ndarray) -> dict:
    """The 95 % intervals of a mean of paired differences, the one value where all are alike; see `compare`."""
    low = high = least = most = np.nan      # of one difference there are none
    if len(gain) > 1:
        low, high = stats.t.interval(0.95, len(gain) - 1, gain.mean(), stats.sem(gain)) if np.ptp(gain) else gain[:2]
        draws = numpy_generator(0, "bootstrap")
        least, most = stats.bootstrap((gain,), np.mean, method="percentile", rng=draws).confidence_interval
    return {"low": low, "high": high, "bootstrap low": least, "bootstrap high": most,
            "agree": (low <= 0 <= high) == (least <= 0 <= most)}

def compare_costs(one: Run, other: Run) -> pd.DataFrame:
    """What two runs did not spend alike: a row a quantity that differs, with columns one, other and their ratio."""
    spent = pd.DataFrame({"one": one.summary(), "other": other.summary()}).loc["trained parameters":].astype(float)
    return spent.assign(ratio=spent["one"] / spent["other"])[spent["one"] != spent["other"]]
