"""Workers: processes that each do one job after the other, and of which one may be killed.

In: a function and jobs. Out: results, as they come. A worker that is killed costs its job alone,
and workers end soon after the process that started them, however that ends. Imports no other file
of the library. Knows nothing of what a job is. Start at `results_of`.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor, as_completed
from typing import TypeVar

import joblib
import psutil
from joblib.externals.loky import ProcessPoolExecutor
from joblib.parallel import get_active_backend

Job = TypeVar("Job")
Result = TypeVar("Result")

SECONDS_BETWEEN_LOOKS = 0.5  # at whether the process is still there that started a worker


def results_of(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    processes: int,
    when_killed: Callable[[Job], Result],
) -> Iterator[Result]:
    """The results of jobs, in the order in which they end.

    Args:
        work: Does a job; it travels to a worker by value if it cannot be imported there.
        jobs: What is to be done.
        processes: How many workers; 1: this process does all; -1: one per core.
        when_killed: The result of a job whose worker was killed.

    Yields:
        A result for each job.
    """
    backend = get_active_backend()[0]
    is_local = type(backend).__name__ == "LokyBackend"
    count = min(joblib.effective_n_jobs(processes), len(jobs)) if is_local else 0
    if is_local and count > 1:
        yield from _in_workers(work, jobs, count, when_killed)
    else:  # this process, or a cluster
        one_by_one = getattr(backend, "supports_return_generator", False)
        kind = "generator_unordered" if one_by_one else "list"  # at the end, where it must be
        parallel = joblib.Parallel(n_jobs=processes, return_as=kind)
        yield from parallel(joblib.delayed(work)(job) for job in jobs)


def _in_workers(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    count: int,
    when_killed: Callable[[Job], Result],
) -> Iterator[Result]:
    """The results of jobs that are shared out among workers."""
    free: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    workers = [_Worker() for _ in range(count)]
    for worker in workers:
        free.put(worker)

    def do(job: Job) -> Result:
        worker = free.get()
        try:
            return worker.do(work, job)
        except BrokenExecutor:
            return when_killed(job)
        finally:
            free.put(worker)

    threads = ThreadPoolExecutor(count)
    try:
        for ended in as_completed([threads.submit(do, job) for job in jobs]):
            yield ended.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.end()
        threads.shutdown()


class _Worker:
    """One process, begun at its first job and again after it was killed."""

    def __init__(self) -> None:
        self.pool: ProcessPoolExecutor | None = None
        self.has_ended = False

    def do(self, work: Callable[[Job], Result], job: Job) -> Result:
        """Do a job in the process; raises BrokenExecutor if the process was killed."""
        if self.has_ended:
            raise BrokenExecutor
        if self.pool is None:
            self.pool = ProcessPoolExecutor(
                max_workers=1, initializer=_end_with, initargs=(os.getpid(),)
            )
        try:
            result: Result = self.pool.submit(work, job).result()
        except BrokenExecutor:
            self.pool = None
            raise
        return result

    def end(self) -> None:
        """End the process, whatever it does."""
        self.has_ended = True
        if self.pool is not None:
            self.pool.shutdown(wait=True, kill_workers=True)


def _end_with(caller: int) -> None:
    """End this process soon after the one that started it, also where that is killed."""

    def look() -> None:
        while os.getppid() == caller and psutil.pid_exists(caller):
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)  # what is written is whole or absent, so nothing needs to be ended in order

    threading.Thread(target=look, daemon=True).start()
