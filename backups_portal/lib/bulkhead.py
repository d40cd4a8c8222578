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


class Lane:
    """Places for requests of one kind, which are taken before a request gets a thread.

    Whoever comes when all are taken is refused by the server's loop, so that a crowd neither waits
    in front of other pages nor costs more than its refusals.
    """

    def __init__(self, places: int) -> None:
        self._places = BoundedSemaphore(places)

    def enter(self) -> bool:
        """Take a place, which `leave` gives back; False if there is none."""
        return self._places.acquire(blocking=False)

    def leave(self) -> None:
        """Give a place back."""
        self._places.release()


class Bulkhead:
    """Lets so many in at a time.

    Args:
        running: How many work at a time.
        waiting: How many may wait for one of them to end.
        seconds: How long these wait.

    Attributes:
        lane: As many places, for a server that refuses the rest before they get a thread.
    """

    def __init__(self, *, running: int, waiting: int, seconds: int) -> None:
        self._running = BoundedSemaphore(running)
        self._places = BoundedSemaphore(running + waiting)
        self.seconds = seconds
        self.lane = Lane(running + waiting)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Work inside; raise FullError if there is no place."""
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
