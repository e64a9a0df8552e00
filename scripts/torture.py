"""Torture: kill runs with SIGKILL at random points, let them go on, compare with unbroken ones.

Usage: `make torture [KILLS=100]`, or `python scripts/torture.py --kills 100 --seed 0`.

Takes the cases in turn, on a tiny random backbone. A kill comes at a random time, at an optimiser
step, or between two system calls of a write. Every file must come out the same, byte for byte.
"""

import argparse
import itertools
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import torch
from conftest import make_stream, quick, save_tiny_models

import conpet_lib as cp
from conpet_lib.models.backbone import Backbone

CASES = {
    "static": {},
    "dynamic": {},
    "dynamic, 2 active": {"active": 2},
    "dynamic, 2 modules": {"modules": 2},
    "emr": {"memory": 2},
}
FORK = multiprocessing.get_context("fork")  # a child starts at once, with all that is imported

SYSTEM_CALLS = ("fsync", "replace", "unlink")  # of `os`, by which files are written
NEVER = 1e9  # seconds
CHECKPOINT_EVERY = [0.0, 0.05, NEVER]  # seconds

# How a run is killed: by "time" (seconds), by "step" (its number), or by a system call (the
# number of the call).
Death = tuple[str, float]


class Unbroken(NamedTuple):
    """What a run gave that was never killed.

    Attributes:
        seconds: Wall time of its training.
        files: Its `content`.
    """

    seconds: float
    files: dict


def content(folder: Path) -> dict:
    """All that must not depend on kills: the bytes of every file, and the record without costs."""
    files = {}
    for path in folder.rglob("*"):
        is_cache = "cache" in path.parts
        if path.is_file() and path.name not in (".lock", "run.json") and not is_cache:
            files[path.relative_to(folder).as_posix()] = path.read_bytes()
    record = {**cp.load_run(folder).record.to_json(), "costs": "", "digest": ""}
    return {**files, "run.json": record}


def case_config(case: str):
    """The config of a case; its name begins with the learner's."""
    return quick(case.split(",")[0], **CASES[case])


def call(
    case: str,
    folder: Path,
    backbone: Backbone,
    every: float,
    on_step: Callable[[cp.Step], object] | None = None,
) -> cp.runs.Run:
    """The run of a case: three stages of a few steps, with a prefix cache of its own."""
    return cp.train(
        make_stream(3),
        backbone,
        case_config(case),
        folder=folder,
        bar=False,
        cache=folder / "cache",
        on_step=on_step,
        checkpoint_every=every,
    )


def die() -> None:
    """Kill this process, as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(name: str, count: int) -> None:
    """Kill this process before the `count`-th call of `os.<name>`."""
    real = getattr(os, name)
    calls = itertools.count(1)

    def counting(*args, **kwargs):
        if next(calls) == count:
            die()
        return real(*args, **kwargs)

    setattr(os, name, counting)


def child(case: str, folder: Path, backbone: Backbone, every: float, death: Death) -> None:
    """In a process of its own: train, and die where `death` says."""
    kind, count = death
    steps = itertools.count(1)

    def on_step(step: cp.Step) -> None:
        if next(steps) == count and kind == "step":
            die()

    if kind in SYSTEM_CALLS:
        die_at(kind, int(count))
    call(case, folder, backbone, every, on_step)


def killed(case: str, folder: Path, backbone: Backbone, every: float, death: Death) -> bool:
    """Run `child`; whether it was killed before it had finished."""
    kind, seconds = death
    process = FORK.Process(target=child, args=(case, folder, backbone, every, death))
    process.start()
    if kind == "time":
        process.join(seconds)
        process.kill()
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise SystemExit(
            f"{case}: a run that was killed did not go on (exit code {process.exitcode})."
        )
    return process.exitcode != 0


def draw_death(draw: random.Random, seconds: float) -> Death:
    """A kind of death and its moment, for a run that takes so many seconds."""
    kind = draw.choice(["time", "step", *SYSTEM_CALLS])
    if kind == "time":
        return kind, draw.uniform(0, seconds)
    most = 6 if kind == "unlink" else 40  # a run removes few files
    return kind, draw.randint(1, most)


def run_unbroken(case: str, folder: Path, backbone: Backbone) -> Unbroken:
    """Train a case without a kill."""
    start = time.monotonic()
    call(case, folder, backbone, NEVER)
    return Unbroken(time.monotonic() - start, content(folder))


def kill_and_resume(
    case: str, folder: Path, backbone: Backbone, every: float, deaths: list[Death]
) -> list[Death]:
    """Begin a run once for each death, then let it end; returns the deaths that came in time."""
    hits = [death for death in deaths if killed(case, folder, backbone, every, death)]
    call(case, folder, backbone, every)
    return hits


def torture(
    kills: int, backbone: Backbone, seed: int = 0, say: Callable[[str], object] = print
) -> dict[str, int]:
    """Kill and compare until so many kills have hit; returns how many of each kind did.

    Args:
        kills: The number of kills that must hit a run before it has finished.
        backbone: A tiny backbone.
        seed: Of the kinds and moments of death.
        say: Called with one line per run.

    Raises:
        SystemExit: When a run does not go on, or ends other than the unbroken one.
    """
    draw = random.Random(seed)
    hits: dict[str, int] = {}
    unbroken: dict[str, Unbroken] = {}
    cases = itertools.cycle(CASES)
    attempt = 0
    with tempfile.TemporaryDirectory() as work:
        while sum(hits.values()) < kills:
            case = next(cases)
            attempt += 1
            if case not in unbroken:
                unbroken[case] = run_unbroken(case, Path(work, case), backbone)
            every = draw.choice(CHECKPOINT_EVERY)
            count = draw.randint(1, 4)
            deaths = [draw_death(draw, unbroken[case].seconds) for _ in range(count)]
            folder = Path(work, f"attempt-{attempt}")
            for kind, _ in kill_and_resume(case, folder, backbone, every, deaths):
                hits[kind] = hits.get(kind, 0) + 1
            differ = differing(unbroken[case].files, content(folder))
            if differ:
                raise SystemExit(
                    f"{case}, checkpoints every {every} s, killed at {deaths}: {differ} differ."
                )
            say(f"{sum(hits.values()):4} kills  {case}: the same after {deaths}")
    return hits


def differing(unbroken: dict, resumed: dict) -> list[str]:
    """The names of files that are not the same in both."""
    names = {**resumed, **unbroken}
    return [name for name in names if unbroken.get(name) != resumed.get(name)]


def main() -> None:
    """Parse the command line and torture a tiny backbone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        bert = save_tiny_models(Path(folder))["bert"]
        backbone = cp.load_backbone(bert, tuned_layers=2, device="cpu")
        hits = torture(options.kills, backbone, options.seed)
    print(f"Kills by kind, each run the same in the end: {hits}")


if __name__ == "__main__":
    main()
