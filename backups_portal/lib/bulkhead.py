"""A limit on concurrent work of one kind in a process, so that other work is not held up.

Some requests read much and need memory. A few of them run, a few more wait for a moment, and the
rest are refused at once: a waiting thread serves no page. (M. Nygard, Release It!, "Bulkheads".)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore


class FullError(Exception):
    """All places, running and waiting, are taken.

    Attributes:
        seconds: How long to wait before a retry.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many readers at once. Try again in {seconds} seconds.")
        self.seconds = seconds


class Bulkhead:
    """Limits how many callers run and wait at a time.

    Args:
        running: How many run at a time.
        waiting: How many more may wait for one of them to end.
        seconds: How long these wait.

    Attributes:
        lane: As many places, taken before a request gets a thread. Once all are taken, the server's
            loop refuses further requests, so that a crowd neither queues ahead of other pages nor
            costs more than its refusals.
    """

    def __init__(self, *, running: int, waiting: int, seconds: int) -> None:
        self._running = BoundedSemaphore(running)
        self._places = BoundedSemaphore(running + waiting)
        self.seconds = seconds
        self.lane = BoundedSemaphore(running + waiting)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Hold a place for the block; raise FullError if none is free."""
        if not self._places.acquire(blocking=False):
            raise FullError(self.seconds)
        try:
            if not self._running.acquire(timeout=self.seconds):
                raise FullError(self.seconds)
            try:
                yield
            finally:
                self._running.release()
        finally:
            self._places.release()
