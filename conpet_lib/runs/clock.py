"""Costs: what a stage spends, and what a run will, in time, memory, parameters, passes and operations.
In: the steps that a learner tells and the counts of its features; or a stream, a backbone, a config. Out: plain
numbers. May import `learners` and `runs`. Start at `forecast`, and `Clock` for what was spent."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from conpet_lib.models.features import Features


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads of the CPU, then as many as before, whatever happens."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Clock:
    """What a stage spends, as plain values by what was done: `wall` and `cpu` seconds, `host` and `device` bytes.
    Memory is the largest seen: the process's resident size at a `tick`, and what torch allocated on a GPU before it."""

    def __init__(self, features: Features, spent: dict):
        self.spent = {name: Counter(spent.get(name)) for name in ("wall", "cpu", "host", "device")}
        self.process, self.last = psutil.Process(), (time.perf_counter(), time.process_time())
        self.features, self.before = features, features.counts
        self.before.subtract(spent.get("counts", {}))

    def costs(self) -> dict:
        """What the stage has cost so far, counts of features too; `spent`, of earlier processes, is a part of it."""
        counts = self.features.counts
        counts.subtract(self.before)
        return {**self.spent, "counts": counts}

    def tick(self, doing: str) -> None:
        """Book the time since the last tick under `doing`."""
        before, self.last, spent = self.last, (time.perf_counter(), time.process_time()), self.spent
        spent["wall"][doing] += self.last[0] - before[0]
        spent["cpu"][doing] += self.last[1] - before[1]
        spent["host"][doing] = max(spent["host"][doing], self.process.memory_info().rss)
        if torch.cuda.is_initialized():
            spent["device"][doing] = max(spent["device"][doing], torch.cuda.max_memory_allocated())
            torch.cuda.reset_peak_memory_stats()
