"""Training: one call makes a run, stage by stage, and can be repeated.

In: a stream, a backbone, a configuration, a seed, a folder. Out: a `Run` in the folder. A stage
ends with its files and then `run.json`, which has their hashes; within it a checkpoint keeps what
was trained. Start at `train`.
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import Annotated

import filelock
from tqdm.auto import tqdm

from conpet_lib.core.arguments import Positive, ZeroOrMore, checked
from conpet_lib.core.assets import cache_folder
from conpet_lib.core.bars import progress_bar
from conpet_lib.core.errors import ConpetError
from conpet_lib.core.files import temporary_folder, user_path
from conpet_lib.core.kinds import Rule
from conpet_lib.core.ranks import Ranks, joined
from conpet_lib.learners.base import Learner
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.learners.fitting import Step, say_nothing
from conpet_lib.models.backbone import Backbone
from conpet_lib.runs.checkpoint import Checkpoint
from conpet_lib.runs.clock import Clock, cpu_threads, same_kernels
from conpet_lib.runs.holding import held, show_that_it_goes_on
from conpet_lib.runs.record import Record, describe, folder_name, read_record
from conpet_lib.runs.restoring import remember_place, restore
from conpet_lib.runs.run import Run, load_run
from conpet_lib.runs.stage import evaluate, leftovers, write_record, write_stage
from conpet_lib.streams.stream import Stream

OnStep = Callable[[Step], object]
Threads = Annotated[int, Rule(lambda count: 1 <= count <= 1024, "a whole number from 1 to 1,024")]
SECONDS_BETWEEN_SIGNS = 5  # for a process that waits for this one
BAR = "{desc:<34}{percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"


@checked
def train(
    stream: Stream,
    backbone: Backbone,
    config: LearnerConfig,
    seed: int = 0,
    folder: str | Path | None = None,
    on_step: OnStep | None = None,
    bar: bool = True,
    cache: Path | None = None,
    threads: Threads = 1,
    pieces: Positive = 1,
    checkpoint_every: ZeroOrMore = 10.0,
    wait: ZeroOrMore = 60.0,
) -> Run:
    """Train a learner on a stream, stage by stage, and record everything in a folder.

    The same stream, backbone, configuration and seed give the same result, to the last bit, stopped
    in between or not. On a GPU that holds where torch has kernels for it; it warns where not.

    Args:
        stream: The tasks.
        backbone: The frozen model.
        config: The method and its settings.
        seed: Of every random choice.
        folder: A finished run in it is loaded, an unfinished one goes on, another one is refused.
            None: a folder in the user's cache, named by what the run is of.
        on_step: Called with a `Step` after each optimiser step; a true answer stops the run.
        bar: Whether to show the progress.
        cache: Folder of the caches; None: the user's.
        threads: Of the CPU; 1, because a small backbone's matrices are too small to share, and
            because the last digits then do not depend on the machine's cores.
        pieces: In how many passes the rows of a step are computed. More take less memory (it is
            known as gradient accumulation) and give the same result up to rounding.
        checkpoint_every: Seconds of training that a kill may cost.
        wait: If another process trains this run, it is waited for while it goes on; seconds that
            it may stand still.

    Returns:
        The `Run`; `run.finished` is False if it was stopped.

    Raises:
        ConpetError: If the folder holds a run of other arguments, is in use by a process that does
            not go on, vanishes or cannot be written. What was finished is kept.
        KeyboardInterrupt: Where Ctrl-C or a notebook's stop button ends it.
    """
    wanted = describe(stream, backbone, config, seed)
    folder = user_path(folder or cache_folder() / "runs" / folder_name(wanted))
    try:
        record = _open_record(folder, wanted)
        if bar and record.stages_done:
            there = f"{record.stages_done} of {len(stream)} stages were there, trained before."
            _say(f"{config.learner}: {there}")
        if record.finished:
            _clean(folder, record)
        else:
            ranks = joined(backbone.device, pieces)
            _check_shared(config, ranks)
            folder.mkdir(parents=True, exist_ok=True)
            computing = same_kernels(backbone.device)
            with _place_of(ranks, folder, wait, bar) as place, cpu_threads(threads), computing:
                record = _open_record(place, wanted)  # another process may have gone on meanwhile
                remember_place(backbone)
                learner = restore(place, record, stream, backbone, cache, config)
                if ranks.rank > 0:
                    checkpoint_every = inf
                    on_step = None
                    bar = False
                checkpoint = Checkpoint(place, checkpoint_every, folder_name(wanted))
                _work(place, record, learner, checkpoint, on_step, bar, ranks)
    except OSError as error:
        raise ConpetError(
            f"The run in {folder} stopped: {error}. See that the folder is there and can be "
            "written, with room on the disk; what was finished is kept, and the same call goes on."
        ) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"The run in {folder} was interrupted; the same call goes on from there."
        ) from None
    return load_run(folder, backbone)


def _check_shared(config: LearnerConfig, ranks: Ranks) -> None:
    """Refuse a method whose rows several processes cannot share out."""
    shares = ranks.count * ranks.pieces
    if shares > 1 and not config.learner_class.loss_is_a_mean:
        raise ConpetError(
            f"{config.learner} compares the rows of a batch with each other, so that {shares} "
            "processes or pieces cannot share it out. Train it in one process, with pieces=1."
        )


@contextmanager
def _place_of(ranks: Ranks, folder: Path, wait: float, bar: bool) -> Iterator[Path]:
    """The folder in which this process trains: the run's own for rank 0, a copy for the others.

    So each begins where the run stands, and one alone writes it.
    """
    if ranks.rank == 0:
        with held(folder, wait, bar):
            ranks.wait()  # it is ours, and nothing of it changes until it is copied
            ranks.wait()
            yield folder
        ranks.wait()
        return
    ranks.wait()
    with temporary_folder() as parent:
        place = parent / "run"
        shutil.copytree(folder, place, ignore=shutil.ignore_patterns(".lock"))
        ranks.wait()
        yield place
    ranks.wait()  # the run is whole


def _clean(folder: Path, record: Record) -> None:
    """Remove what a kill left of a finished run, if the folder may be written and is not in use."""
    if not leftovers(folder, record):
        return
    with suppress(OSError, filelock.Timeout), filelock.FileLock(folder / ".lock", timeout=0):
        write_record(folder, record)


def _say(text: str) -> None:
    """Tell the user on the side, where progress bars stand."""
    print(text, file=sys.stderr)


def _open_record(folder: Path, wanted: Record) -> Record:
    """The record of the run in a folder, or the wanted one; refuses a run of other arguments."""
    if not (folder / "run.json").is_file():
        return wanted
    record = read_record(folder)
    differences = record.differences(wanted)
    if differences:
        raise ConpetError(
            f"{folder} holds a run of other arguments: {'; '.join(differences)}. "
            "Choose another folder=, or the same arguments to load it."
        )
    return record


def _work(
    folder: Path,
    record: Record,
    learner: Learner,
    checkpoint: Checkpoint,
    on_step: OnStep | None,
    bar: bool,
    ranks: Ranks,
) -> None:
    """Train, test and write the missing stages, each from its checkpoint if there is one."""
    learner.features.check_words(learner.stream[0].train)
    # Made once: a folder that vanishes while a run trains is not made again.
    for kind in ("predictions", "replay", "modules", "kept"):
        (folder / kind).mkdir(exist_ok=True)
    write_record(folder, record)  # from now on the folder is this run's
    stages = len(learner.stream)
    progress = progress_bar(total=stages, initial=record.stages_done, shown=bar, bar_format=BAR)
    watch = _Watch(folder, learner, checkpoint, progress, on_step, ranks)
    for part in learner.parts.values():
        part.tell = watch.tell
        part.ranks = ranks
    try:
        with suppress(CancelledError), progress:
            for stage in range(record.stages_done + 1, stages + 1):
                watch.clock = Clock(learner.features, {})
                spent = checkpoint.load(learner, stage)  # to begin a stage may take passes
                watch.clock = Clock(learner.features, spent)
                learner.fit(stage)
                answers = evaluate(learner, stage)
                watch.clock.tick("evaluation")
                write_stage(folder, record, learner, stage, answers, watch.clock.costs())
                checkpoint.file.unlink(missing_ok=True)
                progress.n = stage
    finally:
        # A learner that holds what holds it keeps its mapped cache until much later.
        for part in learner.parts.values():
            part.tell = say_nothing


class _Watch:
    """What a learner tells at each step: it books time, moves the bar, keeps checkpoints, stops.

    Args:
        folder: Of the run.
        learner: In training.
        checkpoint: Where the stage is kept.
        progress: The bar.
        on_step: The user's; a true answer stops the run.
        ranks: They stop together, after a step.

    Attributes:
        clock: Of the stage in training.
        sign_due: The time, of a monotonic clock, at which others are shown that the run goes on.
    """

    clock: Clock

    def __init__(
        self,
        folder: Path,
        learner: Learner,
        checkpoint: Checkpoint,
        progress: tqdm,
        on_step: OnStep | None,
        ranks: Ranks,
    ):
        self.folder = folder
        self.ranks = ranks
        self.wants_to_stop = False
        self.sign_due = 0.0
        self.learner = learner
        self.checkpoint = checkpoint
        self.progress = progress
        self.on_step = on_step
        self.names = list(learner.parts)

    def tell(self, step: Step) -> None:
        """Take note of a step; raises CancelledError where the user stops the run."""
        self.clock.tick(step.doing)
        if time.monotonic() >= self.sign_due:
            show_that_it_goes_on(self.folder)
            self.sign_due = time.monotonic() + SECONDS_BETWEEN_SIGNS
        is_training = step.doing in self.names
        if is_training:
            parts_done = self.names.index(step.doing) + step.done / step.total
            self.progress.n = step.stage - 1 + parts_done / len(self.names)
        where = f"{self.learner.config.learner} {step.stage}/{step.stages} {step.doing}"
        self.progress.set_description(where, refresh=False)
        self.progress.update(0)
        self.wants_to_stop |= self.on_step is not None and bool(self.on_step(step))
        stop = self.wants_to_stop
        if self.ranks.count > 1:  # at a step all are at the same place
            stop = is_training and self.ranks.any(self.wants_to_stop)
        if is_training and (stop or time.monotonic() >= self.checkpoint.due):
            self.checkpoint.save(self.learner, step.stage, self.clock.costs())
            self.clock.tick("checkpoint")
        if stop:
            raise CancelledError
