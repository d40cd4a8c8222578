"""Work spread over threads that each hold a resource, such as a connection."""

import os
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from contextvars import ContextVar, copy_context
from typing import TypeVar

Job = TypeVar("Job")
Resource = TypeVar("Resource")
Result = TypeVar("Result")


# The event that tells the threads of a run to end.
_stop: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


class StoppedError(Exception):
    """A job ended early because its run ends; the run's caller gets the reason."""


def check_stopped() -> None:
    """Stop the current job if its run has ended.

    Long jobs call it between parts.

    Raises:
        StoppedError: another job failed, or the caller of `run_parallel` was interrupted.
    """
    stop = _stop.get()
    if stop is not None and stop.is_set():
        raise StoppedError


def workers_for(setting: int) -> int:
    """Return the number of threads for a setting: 0 means one per core."""
    return setting or os.cpu_count() or 1


def run_parallel(
    jobs: Iterable[Job],
    work: Callable[[Resource, Job], Result],
    *,
    workers: int,
    resource: Callable[[], AbstractContextManager[Resource]],
) -> list[Result]:
    """Do every job, and return the results in the order of the jobs.

    Each thread opens one resource and keeps it for all of its jobs; its log lines have the caller's
    ids.

    Raises:
        The first error of a job, or one raised in this thread meanwhile, such as a task's time
        limit; the other threads end after their current job, or when it calls `check_stopped`.
    """
    numbered = list(enumerate(jobs))
    pending: queue.SimpleQueue[tuple[int, Job]] = queue.SimpleQueue()
    for item in numbered:
        pending.put(item)
    results: dict[int, Result] = {}
    stop = threading.Event()

    def drain() -> None:
        _stop.set(stop)
        with resource() as held:
            while not stop.is_set():
                try:
                    index, job = pending.get_nowait()
                except queue.Empty:
                    return
                results[index] = work(held, job)

    threads = max(1, min(workers, len(numbered)))
    with ThreadPoolExecutor(threads) as pool:
        running = (
            [pool.submit(copy_context().run, drain) for _ in range(threads)] if numbered else []
        )
        try:
            done, _ = wait(running, return_when=FIRST_EXCEPTION)
        finally:
            # Also if this thread is interrupted: leaving the pool waits for all running jobs.
            stop.set()
    for future in [*done, *running]:
        future.result()
    return [results[index] for index, _ in numbered]
