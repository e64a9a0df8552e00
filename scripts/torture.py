"""Torture: kill runs with SIGKILL at random points, let them go on, compare them with one that was never stopped.

`make torture KILLS=100` takes the four cases in turn, on a tiny random backbone. A kill comes at a random time, at an
optimiser step, or between two system calls of a write. Every file must come out the same, byte for byte.
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import torch
from conftest import make_stream, quick, save_tiny_models

import conpet_lib as cp

CASES = {
    "static": {},
    "dynamic": {},
    "dynamic, 2 active": {"active": 2},
    "dynamic, 2 modules": {"modules": 2},
    "emr": {"memory": 2},
}
FORK = multiprocessing.get_context("fork")  # a child starts at once, with all that is imported


def content(folder: Path) -> dict:
    """All that must not depend on kills: every file, byte for byte, and the record but for what the stages cost."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (".lock", "run.json") and "cache" not in path.parts
    }
    return {
        **files,
        "run.json": {**cp.load_run(folder).record.to_json(), "costs": "", "digest": ""},
    }


def call(case: str, folder: Path, backbone, every: float, on_step=None) -> cp.runs.Run:
    """The run of a case: three stages of a few steps, with a prefix cache of its own."""
    return cp.train(
        make_stream(3),
        backbone,
        quick(case.split(",")[0], **CASES[case]),
        folder=folder,
        bar=False,
        cache=folder / "cache",
        on_step=on_step,
        checkpoint_every=every,
    )


def die_at(name: str, count: int) -> None:
    """Kill this process at the `count`-th call of `os.<name>`, before or after it."""
    real, calls = getattr(os, name), [0]

    def counting(*args, **kwargs):
        calls[0] += 1
        if calls[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(os, name, counting)


def child(case: str, folder: Path, backbone, every: float, death: tuple[str, float]) -> None:
    """In a process of its own: train, and die where `death` says."""
    kind, at = death
    steps = [0]

    def on_step(step) -> None:
        steps[0] += 1
        if kind == "step" and steps[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)

    if kind in ("fsync", "replace", "unlink"):
        die_at(kind, int(at))
    call(case, folder, backbone, every, on_step)


def killed(case: str, folder: Path, backbone, every: float, death: tuple[str, float]) -> bool:
    """Run `child`; whether it was killed before it had finished."""
    process = FORK.Process(target=child, args=(case, folder, backbone, every, death))
    process.start()
    if death[0] == "time":
        process.join(death[1])
        process.kill()
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise SystemExit(
            f"{case}: a run that was killed did not go on (exit code {process.exitcode})."
        )
    return process.exitcode != 0


def torture(
    kills: int, backbone, seed: int = 0, say: Callable[[str], object] = print
) -> dict[str, int]:
    """Kill and compare until `kills` kills have hit; returns how many of each kind did.

    Raises: SystemExit when a run does not go on, or ends other than the unbroken one.
    """
    draw, hits, seconds, unbroken, attempt = random.Random(seed), {}, {}, {}, 0
    with tempfile.TemporaryDirectory() as place:
        while sum(hits.values()) < kills:
            case = list(CASES)[attempt % len(CASES)]
            if case not in unbroken:
                start = time.monotonic()
                call(case, Path(place) / case, backbone, 1e9)
                seconds[case], unbroken[case] = (
                    time.monotonic() - start,
                    content(Path(place) / case),
                )
            attempt += 1
            folder, every, deaths = Path(place) / f"{attempt}", draw.choice([0.0, 0.05, 1e9]), []
            for _ in range(draw.randint(1, 4)):
                kind = draw.choice(["time", "step", "fsync", "replace", "unlink"])
                deaths.append(
                    (
                        kind,
                        draw.uniform(0, seconds[case])
                        if kind == "time"
                        else draw.randint(1, 6 if kind == "unlink" else 40),
                    )
                )
                if killed(case, folder, backbone, every, deaths[-1]):
                    hits[kind] = hits.get(kind, 0) + 1
            call(case, folder, backbone, every)
            found = content(folder)
            differ = [
                name
                for name in {**found, **unbroken[case]}
                if unbroken[case].get(name) != found.get(name)
            ]
            if differ:
                raise SystemExit(
                    f"{case}, checkpoints every {every} s, killed at {deaths}: {differ} differ."
                )
            say(f"{sum(hits.values()):4} kills  {case}: the same after {deaths}")
    return hits


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as models:
        tiny = cp.load_backbone(
            save_tiny_models(Path(models))["bert"], tuned_layers=2, device="cpu"
        )
        print(
            f"Kills by kind, each run the same in the end: {torture(options.kills, tiny, options.seed)}"
        )
