"""Celery's soft time limit, reached while threads are working."""

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded


class SoftLimit:
    """The limit of the main thread; one of its threads calls `reach`."""

    def __init__(self) -> None:
        self._main = threading.get_ident()
        self.is_over = threading.Event()

    def reach(self) -> None:
        """Raise the limit in the main thread, once, and wait until it ends its threads."""
        if not self.is_over.is_set():
            signal.pthread_kill(self._main, signal.SIGUSR1)
            assert self.is_over.wait(30)


@contextmanager
def soft_limit() -> Iterator[SoftLimit]:
    """Expect the limit to be reached, and to end the call."""
    limit = SoftLimit()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, *arguments: Any, **options: Any) -> None:
            limit.is_over.set()
            super().shutdown(*arguments, **options)

    def expire(_signal: int, _frame: FrameType | None) -> None:
        raise SoftTimeLimitExceeded

    before = signal.signal(signal.SIGUSR1, expire)
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("backups_portal.lib.thread_pool.ThreadPoolExecutor", Pool)
            with pytest.raises(SoftTimeLimitExceeded):
                yield limit
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not [one for one in threading.enumerate() if "ThreadPoolExecutor" in one.name]
