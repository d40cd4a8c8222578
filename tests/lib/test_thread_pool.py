"""Work in several threads ends soon when it is cancelled."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import pytest

from backups_portal.lib.thread_pool import check_stopped, run_parallel

JOB_SECONDS = 0.02
JOBS = 1000


class TooLateError(Exception):
    """Raised like Celery's soft limit in a task's main thread."""


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise TooLateError in this thread after a time, from a signal like Celery's limit."""

    def expire(*_: object) -> None:
        raise TooLateError

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def nothing() -> AbstractContextManager[None]:
    return nullcontext()


def test_a_limit_that_passes_while_it_waits_ends_the_threads_after_the_job_at_hand() -> None:
    done: list[int] = []

    def work(_: None, job: int) -> None:
        time.sleep(JOB_SECONDS)
        done.append(job)

    with pytest.raises(TooLateError), limit(JOB_SECONDS * 5):
        run_parallel(range(JOBS), work, workers=2, resource=nothing)
    assert len(done) < JOBS / 2


def test_the_first_error_ends_the_others_after_the_job_at_hand() -> None:
    done: list[int] = []

    def work(_: None, job: int) -> None:
        if job == 3:
            raise TooLateError
        time.sleep(JOB_SECONDS)
        done.append(job)

    with pytest.raises(TooLateError):
        run_parallel(range(JOBS), work, workers=2, resource=nothing)
    assert len(done) < JOBS / 2


def test_a_long_job_ends_where_it_looks_and_the_error_is_told() -> None:
    has_begun, looks = threading.Event(), []

    def work(_: None, job: str) -> None:
        if job == "failing":
            assert has_begun.wait(30)
            raise TooLateError
        for look in range(JOBS):
            has_begun.set()
            check_stopped()
            looks.append(look)
            time.sleep(JOB_SECONDS)

    with pytest.raises(TooLateError):
        run_parallel(["long", "failing"], work, workers=2, resource=nothing)
    assert len(looks) < JOBS / 2
    check_stopped()


def test_results_are_in_the_order_of_the_jobs() -> None:
    assert run_parallel(range(50), lambda _, job: job * 2, workers=4, resource=nothing) == [
        job * 2 for job in range(50)
    ]
