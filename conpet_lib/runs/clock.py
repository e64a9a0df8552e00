"""Clock: what a stage spends, in time and memory, by what was done.

In: a tick whenever something ends. Out: plain values. Start at `Clock`.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import torch

from conpet_lib.models.features import Features

SPENT = ("wall", "cpu", "host", "device")


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads of the CPU, then as many as before, whatever happens.

    Args:
        count: How many.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def same_kernels(device: torch.device) -> Iterator[None]:
    """Let torch use kernels that give the same bits each time on a GPU, where it has them.

    Where it has none, it warns and names the kernel. On a CPU all kernels are such.

    Args:
        device: Where the backbone computes.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it starts
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)


class Clock:
    """What a stage spends: `wall` and `cpu` seconds, `host` and `device` bytes, by what was done.

    Memory is the largest seen: the process's resident size at a tick, and what torch allocated on a
    GPU before it.

    Args:
        features: Its counts are a part of the costs.
        spent: What earlier processes have spent on the stage, as `costs` gave it; may be empty.
    """

    def __init__(self, features: Features, spent: dict[str, Any]):
        self.spent: dict[str, dict[str, float]] = {}
        for name in SPENT:
            self.spent[name] = dict(spent.get(name) or {})
        self.process = psutil.Process()
        self.wall = time.perf_counter()
        self.cpu = time.process_time()
        self.features = features
        self.counts_before = features.counts
        self.counts_before.subtract(spent.get("counts", {}))

    def costs(self) -> dict[str, Any]:
        """What the stage has cost so far, counts of the features too."""
        counts = self.features.counts
        counts.subtract(self.counts_before)
        return {**self.spent, "counts": counts}

    def tick(self, doing: str) -> None:
        """Book what was spent since the last tick.

        Args:
            doing: What was done.
        """
        wall = time.perf_counter()
        cpu = time.process_time()
        self._add("wall", doing, wall - self.wall)
        self._add("cpu", doing, cpu - self.cpu)
        self.wall = wall
        self.cpu = cpu
        self._keep_largest("host", doing, self.process.memory_info().rss)
        if torch.cuda.is_initialized():
            self._keep_largest("device", doing, torch.cuda.max_memory_allocated())
            torch.cuda.reset_peak_memory_stats()

    def _add(self, what: str, doing: str, seconds: float) -> None:
        """Book seconds."""
        self.spent[what][doing] = self.spent[what].get(doing, 0.0) + seconds

    def _keep_largest(self, where: str, doing: str, size: int) -> None:
        """Remember the most bytes that were seen."""
        self.spent[where][doing] = max(self.spent[where].get(doing, 0), size)
