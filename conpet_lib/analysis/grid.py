"""Grid: many runs, trained where they are missing, in worker processes.

In: streams, configurations, seeds. Out: a table of the runs. Start at `grid`.
"""

import itertools
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch

from conpet_lib.analysis.tables import runs_table
from conpet_lib.analysis.workers import results_of
from conpet_lib.core.arguments import checked
from conpet_lib.core.assets import cache_folder
from conpet_lib.core.bars import progress_bar
from conpet_lib.core.files import user_path
from conpet_lib.core.kinds import Rule
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.learners.fitting import Step
from conpet_lib.models.backbone import Backbone
from conpet_lib.models.layers import quantization_of
from conpet_lib.models.loading import load_backbone
from conpet_lib.runs.record import describe, folder_name
from conpet_lib.runs.training import train
from conpet_lib.streams.stream import Stream

Processes = Annotated[
    int,
    Rule(
        lambda count: count != 0 and count <= 1024,
        "a whole number from 1 to 1,024, or -1 for one per core",
    ),
]
SECONDS_TO_LET_GO = 60  # for a worker of a grid that was killed: it stops after its next step


@lru_cache(maxsize=1)
def load_once(
    name: str,
    tuned_layers: int,
    exit_layer: int,
    device: str,
    dtype: str,
    quantization: str | None = None,
) -> Backbone:
    """A backbone, the same object for the same arguments: a worker trains many runs on it.

    Args:
        name: As for `load_backbone`.
        tuned_layers: As for `load_backbone`.
        exit_layer: As for `load_backbone`.
        device: Such as "cpu".
        dtype: Such as "float32".
        quantization: Such as "4bit", or None.
    """
    return load_backbone(name, tuned_layers, exit_layer, device, dtype, quantization)


@dataclass(frozen=True)
class Job:
    """One run of a grid, as a worker process gets it; the backbone travels by name.

    Attributes:
        folder: Of the run.
        stream: The tasks.
        backbone: The arguments of `load_once`.
        config: The method and its settings; its class goes along, also one of a notebook's cell.
        seed: Of every random choice.
        cache: Folder of the caches, or None for the user's.
    """

    folder: Path
    stream: Stream
    backbone: tuple[str, int, int, str, str, str | None]
    config: LearnerConfig
    seed: int
    cache: Path | None


@checked
def grid(
    streams: Sequence[Stream],
    backbone: Backbone,
    configs: Sequence[LearnerConfig],
    seeds: Iterable[int],
    folder: str | Path | None = None,
    processes: Processes = -1,
    bar: bool = True,
    cache: Path | None = None,
) -> pd.DataFrame:
    """Train every configuration on every stream with every seed, each run in a folder of its own.

    Finished runs are skipped, unfinished ones go on, so the same call after a kill does what is
    missing. Inside `joblib.parallel_config(backend="dask")` the runs go to a Dask cluster that can
    read `folder` and the backbone.

    Args:
        streams: One or more.
        backbone: The frozen model; workers load it by its name.
        configs: Methods and their settings.
        seeds: Of the training.
        folder: Of the runs' folders; None: the user's cache.
        processes: Worker processes; -1 for one per core, or one per GPU where the backbone is on
            one.
        bar: Whether to show the progress.
        cache: Folder of the caches; None: the user's.

    Returns:
        `runs_table` of these runs; a warning and the column `problem` say which failed, and why.
    """
    jobs = _jobs(streams, backbone, configs, seeds, folder, cache)
    missing = _unfinished(jobs)
    # A worker of a cluster was started in another folder.
    told = [replace(job, folder=job.folder.absolute()) for job in missing]
    told, processes = _shared_out(told, processes, backbone.device)
    results = results_of(one_run, told, processes, _killed)
    there = f"runs: {len(jobs) - len(missing)} of {len(jobs)} were there"
    ended = progress_bar(results, there, len(missing), shown=bar)
    problems = {place: problem for place, problem in ended if problem}
    if problems:
        each = [f"{place.name}: {problem}" for place, problem in problems.items()]
        first = (
            f"{len(problems)} of {len(jobs)} runs did not finish; the same call tries them again:"
        )
        warnings.warn("\n".join([first, *each]), stacklevel=3)  # past the door
    table = runs_table([job.folder for job in jobs])
    return table.assign(problem=[problems.get(job.folder.absolute(), "") for job in jobs])


def _killed(job: Job) -> tuple[Path, str]:
    """What is told of a run whose worker process was killed."""
    return job.folder, (
        "its worker process was killed, as a system does that runs out of memory; what was trained "
        "is kept. Try fewer processes=."
    )


def _jobs(
    streams: Sequence[Stream],
    backbone: Backbone,
    configs: Sequence[LearnerConfig],
    seeds: Iterable[int],
    folder: str | Path | None,
    cache: Path | None,
) -> list[Job]:
    """All runs of a grid; two that are the same are one."""
    about = (
        backbone.name,
        backbone.tuned_layers,
        backbone.exit_layer,
        str(backbone.device),
        str(backbone.dtype).removeprefix("torch."),
        quantization_of(backbone.model),
    )
    parent = user_path(folder or cache_folder() / "runs")
    jobs = {}
    for stream, config, seed in itertools.product(streams, configs, seeds):
        place = parent / folder_name(describe(stream, backbone, config, seed))
        jobs[place] = Job(place, stream, about, config, seed, cache)
    return list(jobs.values())


def _shared_out(jobs: list[Job], processes: int, device: torch.device) -> tuple[list[Job], int]:
    """The runs with the GPU that each is to use, and how many at a time.

    A GPU that was named, such as "cuda:1", is used for all of them.
    """
    if device.type != "cuda":
        return jobs, processes
    if device.index is not None:
        return jobs, 1 if processes == -1 else processes
    there = torch.cuda.device_count()
    shared_out = []
    for number, job in enumerate(jobs):
        *depths, _, dtype, quantization = job.backbone
        about = (*depths, f"cuda:{number % there}", dtype, quantization)
        shared_out.append(replace(job, backbone=about))
    return shared_out, there if processes == -1 else processes


def _unfinished(jobs: list[Job]) -> list[Job]:
    """The runs that are still to be trained."""
    finished = runs_table([job.folder for job in jobs])["finished"]
    return [job for job, is_finished in zip(jobs, finished) if not is_finished]


def one_run(job: Job) -> tuple[Path, str]:
    """Train a run in a worker process; it stops when its caller is gone.

    Args:
        job: The run.

    Returns:
        Its folder, and what went wrong, in words, or "".
    """
    caller = os.getppid()

    def stop_without_caller(step: Step) -> bool:
        """Whether the process that asked for the run is gone."""
        return os.getppid() != caller

    try:
        train(
            job.stream,
            load_once(*job.backbone),
            job.config,
            job.seed,
            job.folder,
            on_step=stop_without_caller,
            bar=False,
            cache=job.cache,
            wait=SECONDS_TO_LET_GO,
        )
    except Exception as error:  # whatever it is, the other runs go on, and the table tells
        return job.folder, f"{type(error).__name__}: {error}"
    return job.folder, ""
