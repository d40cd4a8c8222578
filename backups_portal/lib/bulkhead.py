"""A limit on how much of one kind of work a process does at a time, so that all other work goes on.

Some requests read much and need memory. A few of them run, a few more wait for a moment, and the
rest is refused at once: a thread that waits serves no page. (M. Nygard, Release It!, "Bulkheads".)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore


class FullError(Exception):
    """As many are at work or wait as may.

    Attributes:
        seconds: When to try again.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many readers at once. Try again in {seconds} seconds.")
        self.seconds = seconds


class Bulkhead:
    """Lets so many in at a time.

    Args:
        running: How many work at a time.
        waiting: How many may wait for one of them to end.
        seconds: How long these wait.
    """

    def __init__(self, *, running: int, waiting: int, seconds: int) -> None:
        self._running = BoundedSemaphore(running)
        self._places = BoundedSemaphore(running + waiting)
        self._seconds = seconds

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Work inside; raise FullError if there is no place."""
        if not self._places.acquire(blocking=False):
            raise FullError(self._seconds)
        try:
            if not self._running.acquire(timeout=self._seconds):
                raise FullError(self._seconds)
            try:
                yield
            finally:
                self._running.release()
        finally:
            self._places.release()
