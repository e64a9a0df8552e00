"""Training: one call makes a run, stage by stage, and can be repeated.
In: a stream, a backbone, a config, a seed, a folder. Out: a `Run` in the folder. A stage ends with its files and then
`run.json`, which has their hashes; within it a `Checkpoint` keeps what was trained. Start at `train`."""

import sys
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path

import filelock
from tqdm.auto import tqdm

from conpet_lib.core.assets import cache_folder
from conpet_lib.core.errors import ConpetError
from conpet_lib.learners.base import Learner, Step
from conpet_lib.learners.config import VanillaConfig
from conpet_lib.models.backbone import Backbone
from conpet_lib.runs.checkpoint import Checkpoint
from conpet_lib.runs.clock import Clock, cpu_threads
from conpet_lib.runs.record import describe, folder_name, open_record
from conpet_lib.runs.restoring import restore
from conpet_lib.runs.run import Run, load_run
from conpet_lib.runs.stage import evaluate, leftovers, write_record, write_stage
from conpet_lib.streams.stream import Stream


def train(
    stream: Stream,
    backbone: Backbone,
    config: VanillaConfig,
    seed: int = 0,
    folder: str | Path | None = None,
    on_step: Callable[[Step], object] | None = None,
    bar: bool = True,
    cache: Path | None = None,
    max_tokens: int = 128,
    threads: int = 1,
    checkpoint_every: float = 10.0,
) -> Run:
    """Train a learner on a stream, stage by stage, and record everything in a folder.
    Args: stream, backbone, config, seed, max_tokens (a prompt's longest): the same ones give the same result.
        folder: a finished run in it is loaded, an unfinished one goes on, another one is refused. Default: one in the
            user's cache, named by what the run is of. cache: folder of the caches, default the user's.
        on_step: called with a `Step` after each optimiser step; a true answer stops the run. bar: show the progress.
        threads: of the CPU; 1, since a small backbone's matrices are too small to share, and since the last digits then
            do not depend on the machine's cores. checkpoint_every: seconds of training that a kill may cost.
    Returns: the `Run`; `run.finished` is False if it was stopped.
    Raises: ConpetError if the folder holds a run of other arguments, is in use, vanishes or cannot be written;
        KeyboardInterrupt where Ctrl-C or a notebook's stop button ends it. What was finished is kept."""
    about = describe(stream, backbone, config, seed, max_tokens)
    folder = Path(folder or cache_folder() / "runs" / folder_name(about))
    try:
        record = open_record(folder, about)
        if bar and (done := record["stages_done"]):
            print(
                f"{config.learner}: {done} of {len(stream)} stages were there, trained before.",
                file=sys.stderr,
            )
        if record["stages_done"] < len(stream) or leftovers(folder, record):
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder / ".lock", timeout=0), cpu_threads(threads):
                record = open_record(
                    folder, about
                )  # read again: another process may have gone on meanwhile
                work(
                    folder,
                    record,
                    restore(folder, record, stream, backbone, cache),
                    Checkpoint(folder, checkpoint_every, folder_name(about)),
                    on_step,
                    bar,
                )
    except filelock.Timeout:
        raise ConpetError(
            f"{folder} is in use by another process. Wait for it, or choose another folder=."
        ) from None
    except OSError as error:
        raise ConpetError(
            f"The run in {folder} stopped: {error}. See that the folder is there and can be written, "
            "with room on the disk; what was finished is kept, and the same call goes on."
        ) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"The run in {folder} was interrupted; the same call goes on from there."
        ) from None
    return load_run(folder, backbone)


def work(
    folder: Path,
    record: dict,
    learner: Learner,
    checkpoint: Checkpoint,
    on_step: Callable[[Step], object] | None,
    bar: bool,
) -> None:
    """Train, test and write the stages that are missing, each from its checkpoint where there is one."""
    for kind in (
        "predictions",
        "replay",
        "modules",
        "kept",
    ):  # made once: a folder that vanishes is not made again
        (folder / kind).mkdir(exist_ok=True)
    write_record(folder, record)  # from now on the folder is this run's
    names = [part.name for part in learner.parts]
    progress = tqdm(
        total=len(learner.stream),
        initial=record["stages_done"],
        disable=not bar,
        bar_format="{desc:<34}{percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]",
    )

    def tell(step: Step) -> None:
        """What the learner calls at each step: books time, moves the bar, keeps a checkpoint, asks whether to stop."""
        clock.tick(step.doing)
        trained = step.doing in names
        if trained:
            progress.n = (
                step.stage - 1 + (names.index(step.doing) + step.done / step.total) / len(names)
            )
        progress.set_description(
            f"{learner.config.learner} {step.stage}/{step.stages} {step.doing}", refresh=False
        )
        progress.update(0)
        stop = on_step and on_step(step)
        if trained and (stop or time.monotonic() >= checkpoint.due):
            checkpoint.save(learner, step.stage, clock.costs())
            clock.tick("checkpoint")
        if stop:
            raise CancelledError

    for part in learner.parts:
        part.tell = tell
    try:
        with suppress(CancelledError), progress:
            for stage in range(record["stages_done"] + 1, len(learner.stream) + 1):
                clock = Clock(learner.features, checkpoint.load(learner, stage))
                learner.fit(stage)
                answers = evaluate(learner, stage)
                clock.tick("evaluation")
                write_stage(folder, record, learner, stage, answers, clock.costs())
                checkpoint.file.unlink(missing_ok=True)
                progress.n = stage
    finally:
        for part in (
            learner.parts
        ):  # a learner that holds what holds it keeps its mapped cache until much later
            part.tell = None
