"""Comparing: many runs: train what is missing, list them, and say how far they differ.
In: streams, configs and seeds, or folders of runs. Out: DataFrames, a row a run or a row a comparison.
May import `training` and `runs`. Start at `grid`, `runs_table`, `compare`."""

import itertools
import os
import warnings
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import filelock
import joblib
import pandas as pd
from tqdm.auto import tqdm

from conpet_lib.analysis.tables import runs_table
from conpet_lib.core.assets import cache_folder
from conpet_lib.learners.config import VanillaConfig
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.loading import load_backbone
from conpet_lib.runs.record import describe, folder_name
from conpet_lib.runs.training import train
from conpet_lib.streams.stream import Stream

load_once = lru_cache(maxsize=1)(load_backbone)  # a worker process trains many runs on one backbone


def grid(
    streams: Sequence[Stream],
    backbone: Backbone,
    configs: Sequence[VanillaConfig],
    seeds: Iterable[int],
    folder: str | Path | None = None,
    processes: int = -1,
    bar: bool = True,
    cache: Path | None = None,
) -> pd.DataFrame:
    """Train every config on every stream with every seed, each run in a folder of its own.
    Finished runs are skipped, unfinished ones go on, so the same call after a kill does what is missing. Inside
    `joblib.parallel_config(backend="dask")` the runs go to a Dask cluster that can read `folder` and the backbone.
    Args: folder: of the runs' folders, default the user's cache. processes: -1 for one a core. bar, cache: see `train`.
    Returns: `runs_table` of these runs; a warning and the column `problem` say which failed, and why."""
    about = (
        backbone.name,
        backbone.tuned_layers,
        backbone.exit_layer,
        backbone.device.type,
        str(backbone.dtype)[6:],
    )
    jobs = {
        Path(
            folder or cache_folder() / "runs",
            folder_name(describe(stream, backbone, config, seed, 128)),
        ): (stream, about, config, seed, cache)
        for stream, config, seed in itertools.product(streams, configs, seeds)
    }
    missing = [place for place, done in zip(jobs, runs_table(jobs)["finished"]) if not done]
    warnings.filterwarnings(
        "ignore", "A worker stopped"
    )  # joblib puts a fresh one in the place of one that grew
    work = joblib.Parallel(n_jobs=processes, return_as="generator_unordered")(
        joblib.delayed(one_run)(place, *jobs[place]) for place in missing
    )
    there = f"runs: {len(jobs) - len(missing)} of {len(jobs)} were there"
    problems = {
        place: said for place, said in tqdm(work, there, len(missing), disable=not bar) if said
    }
    if problems:
        warnings.warn(
            f"{len(problems)} of {len(jobs)} runs did not finish; the same call tries them again:\n"
            + "\n".join(f"{place.name}: {problem}" for place, problem in problems.items()),
            stacklevel=2,
        )
    return runs_table(jobs).assign(problem=[problems.get(place, "") for place in jobs])


def one_run(
    place: Path, stream: Stream, about: tuple, config: VanillaConfig, seed: int, cache: Path | None
) -> tuple:
    """In a worker process: train a run; its folder, and what went wrong in words. Stops when its caller is gone."""
    caller = os.getppid()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(place / ".lock", timeout=60):
            pass  # a worker of a grid that was killed lets go of it after its next step
        train(
            stream,
            load_once(*about),
            config,
            seed,
            place,
            lambda step: os.getppid() != caller,
            False,
            cache,
        )
        return place, ""
    except Exception as error:
        return place, f"{type(error).__name__}: {error}"
