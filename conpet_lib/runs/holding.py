"""Holding: one process at a time trains a run; another one waits for it.

In: a run's folder. Out: the folder, held. Start at `held`.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from conpet_lib.core.bars import progress_bar
from conpet_lib.core.errors import ConpetError

SECONDS_BETWEEN_TRIES = 0.5
SIGNS = ("run.json", "checkpoint.safetensors")  # files that change while a run trains
BAR = "{desc:<34}{percentage:3.0f}%|{bar}| [{elapsed}]"


@contextmanager
def held(folder: Path, wait: float, bar: bool) -> Iterator[None]:
    """A run's folder, held by this process; another process that trains the run is waited for.

    Args:
        folder: Of the run.
        wait: Seconds that the other process may stand still.
        bar: Whether to show how far it is.

    Raises:
        ConpetError: If the other process did not go on for so long.
    """
    lock = filelock.FileLock(folder / ".lock", timeout=0)
    if not _is_free(lock):
        _wait_for(lock, folder, wait, bar)
    try:
        yield
    finally:
        lock.release()


def show_that_it_goes_on(folder: Path) -> None:
    """Leave a sign in a run's folder that its process trains.

    Args:
        folder: Of the run.
    """
    with suppress(OSError):  # the folder may have vanished, which is told when it is written to
        os.utime(folder / "run.json")


def _is_free(lock: filelock.BaseFileLock) -> bool:
    """Whether nobody held the lock, which is then ours."""
    try:
        lock.acquire()
    except filelock.Timeout:
        return False
    return True


def _wait_for(lock: filelock.BaseFileLock, folder: Path, wait: float, bar: bool) -> None:
    """Take the lock when the process that holds it lets go."""
    signs = _signs(folder)
    changed = time.monotonic()
    with progress_bar(desc="another process trains this run", shown=bar, bar_format=BAR) as shown:
        while not _is_free(lock):
            now = time.monotonic()
            if _signs(folder) != signs:
                signs = _signs(folder)
                changed = now
            if now - changed >= wait:
                raise ConpetError(
                    f"{folder} is in use by another process, which has not gone on for {wait:.0f} "
                    "seconds. Wait for it and call again, end it if it hangs (often another page "
                    "whose kernel still runs), or choose another folder=."
                )
            shown.n, shown.total = _stages(folder)
            shown.update(0)
            time.sleep(min(SECONDS_BETWEEN_TRIES, wait))


def _signs(folder: Path) -> list[int]:
    """When the files changed that a process changes while it trains."""
    times = []
    for name in SIGNS:
        with suppress(OSError):
            times.append((folder / name).stat().st_mtime_ns)
    return times


def _stages(folder: Path) -> tuple[int, int]:
    """How many stages of a run are done, and how many there are."""
    try:
        content = json.loads((folder / "run.json").read_bytes())
        return int(content["stages_done"]), len(content["stream"]["tasks"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 1
