"""Connections to the projects' databases: few per project, kept while they are in use.

A process serves every project, so that a pool with threads of its own per project would be too
much. This one has none: a connection is opened when it is asked for, kept when it is given back,
and closed when nobody has wanted it for a while, by whoever passes next.
"""

import select
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]
CONNECT_SECONDS = 5
# Pages are read through an index from one end: nothing to share among workers or to compile. The
# planner's usual price of a random page is that of a rotating disk, and has it sort instead.
OPTIONS = (
    "-c timezone=UTC -c jit=off -c max_parallel_workers_per_gather=0 -c random_page_cost=1.1"
    " -c idle_in_transaction_session_timeout=60s"
)


class PoolBusyError(Exception):
    """All connections of the project are at work, for longer than a request should wait."""


@dataclass
class _Place:
    """The connections of one project: those at rest, newest last, and how many there are."""

    free: threading.Semaphore
    idle: deque[tuple[float, Connection]] = field(default_factory=deque)


class Pools:
    """Connections by project.

    Args:
        limit: Of connections to one project, from this process.
        idle_seconds: How long a connection is kept without use.
        wait_seconds: How long a request waits for a connection.
    """

    def __init__(self, *, limit: int, idle_seconds: float, wait_seconds: float) -> None:
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._wait_seconds = wait_seconds
        self._places: dict[str, _Place] = {}
        self._lock = threading.Lock()
        self._swept = time.monotonic()

    def take(self, key: str, dsn: Callable[[], str]) -> Connection:
        """A connection that works, in which every statement is a transaction.

        Args:
            key: Of the project.
            dsn: Its database's URL; asked for only when a connection has to be opened.

        Raises:
            PoolBusyError: all are taken, and none came back in time.
            psycopg.OperationalError: the database does not answer.
        """
        with self._lock:
            place = self._places.setdefault(key, _Place(threading.Semaphore(self._limit)))
        if not place.free.acquire(timeout=self._wait_seconds):
            raise PoolBusyError
        try:
            return _awake(place) or _connect(dsn())
        except BaseException:
            place.free.release()
            raise

    def give_back(self, key: str, connection: Connection) -> None:
        """Let others have a connection again; one that is broken or in a transaction is closed."""
        place = self._places[key]
        if _is_usable(connection):
            place.idle.append((time.monotonic(), connection))
        else:
            connection.close()
        place.free.release()
        self._sweep()

    def close(self) -> None:
        """Close what is at rest."""
        for place in list(self._places.values()):
            _close_older(place, float("inf"))

    def _sweep(self) -> None:
        now = time.monotonic()
        if now - self._swept < self._idle_seconds / 4:
            return
        self._swept = now
        for place in list(self._places.values()):
            _close_older(place, now - self._idle_seconds)


def _close_older(place: _Place, than: float) -> None:
    while place.idle:
        try:
            rested, connection = place.idle.popleft()
        except IndexError:  # another thread took it
            return
        if rested > than:
            place.idle.appendleft((rested, connection))
            return
        connection.close()


def _awake(place: _Place) -> Connection | None:
    """The connection that rested for the shortest time, if any still lives."""
    while True:
        try:
            _, connection = place.idle.pop()
        except IndexError:
            return None
        if not connection.closed and not _has_news(connection):
            return connection
        connection.close()


def _has_news(connection: Connection) -> bool:
    """Whether the server said something unasked, which is how it ends a connection."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _is_usable(connection: Connection) -> bool:
    idle = psycopg.pq.TransactionStatus.IDLE
    return not connection.closed and connection.info.transaction_status == idle


def _connect(dsn: str) -> Connection:
    return psycopg.connect(
        dsn,
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        application_name="backups-portal-api",
        options=OPTIONS,
    )
