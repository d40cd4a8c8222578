"""Pool connections to the projects' databases: few per project, few in all.

A process serves every project, so that a pool with threads of its own per project would be too
much. Here a connection is opened when it is asked for, kept when it is given back, and closed when
it was not used for a while, or when too many others were used since.
"""

import select
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import psycopg
from psycopg import Connection

from backups_portal.lib import pgsession
from backups_portal.projectdb.stored_json import read_safely

CONNECT_SECONDS = 5
# Pages are read through an index from one end: nothing to share among workers or to compile. The
# planner's usual price of a random page is that of a rotating disk, and has it sort instead.
# Clients give up after 60 seconds; before that they are told that the data is locked.
SETTINGS = {
    "lock_timeout": "12s",
    "max_parallel_workers_per_gather": "0",
    "random_page_cost": "1.1",
    "statement_timeout": "50s",
    "idle_in_transaction_session_timeout": "60s",
}


class PoolBusyError(Exception):
    """All connections of the project are at work, for longer than a request should wait."""


class Pools:
    """Connections by project.

    Args:
        limit: How many connections to one project this process may have.
        idle_limit: How many idle connections are kept, to all projects together.
        idle_seconds: How long a connection is kept without use.
        wait_seconds: How long a request waits for a connection.
    """

    def __init__(
        self, *, limit: int, idle_limit: int, idle_seconds: float, wait_seconds: float
    ) -> None:
        self._limit = limit
        self._idle_limit = idle_limit
        self._idle_seconds = idle_seconds
        self._wait_seconds = wait_seconds
        self._places: dict[str, threading.Semaphore] = {}
        # Idle connections, with their project and since when; the longest idle first.
        self._resting: OrderedDict[Connection, tuple[str, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._sweeper: threading.Timer | None = None

    def take(self, key: str, dsn: Callable[[], str]) -> Connection:
        """Take a working connection, in which every statement is a transaction.

        Args:
            key: Of the project.
            dsn: Its database's URL; asked for only when a connection has to be opened.

        Raises:
            PoolBusyError: all are taken, and none came back in time.
            psycopg.OperationalError: the database does not answer.
        """
        with self._lock:
            place = self._places.setdefault(key, threading.Semaphore(self._limit))
        if not place.acquire(timeout=self._wait_seconds):
            raise PoolBusyError
        try:
            return self._awake(key) or _connect(dsn())
        except BaseException:
            place.release()
            raise

    def _awake(self, key: str) -> Connection | None:
        """Take the most recently used connection that still works."""
        while True:
            with self._lock:
                newest_first = reversed(self._resting.items())
                own = (connection for connection, (whose, _) in newest_first if whose == key)
                if (connection := next(own, None)) is None:
                    return None
                del self._resting[connection]
            if not connection.closed and not has_news(connection):
                return connection
            connection.close()

    def give_back(self, key: str, connection: Connection) -> None:
        """Return a connection; close it if it is broken or in a transaction."""
        if _is_usable(connection):
            with self._lock:
                self._resting[connection] = (key, time.monotonic())
                self._sweep_later()
        else:
            connection.close()
        self._places[key].release()
        self._close_while(lambda since: len(self._resting) > self._idle_limit)

    def close(self) -> None:
        """Close all idle connections."""
        self._close_while(lambda since: True)

    def _sweep_later(self) -> None:
        if self._sweeper is None:
            self._sweeper = threading.Timer(self._idle_seconds, self._sweep)
            self._sweeper.daemon = True
            self._sweeper.start()

    def _sweep(self) -> None:
        oldest = time.monotonic() - self._idle_seconds
        self._close_while(lambda since: since <= oldest)
        with self._lock:
            self._sweeper = None
            if self._resting:
                self._sweep_later()

    def _close_while(self, is_due: Callable[[float], bool]) -> None:
        """Close idle connections, the longest idle first, while they are due."""
        while True:
            with self._lock:
                if not self._resting:
                    return
                connection, (_, since) = next(iter(self._resting.items()))
                if not is_due(since):
                    return
                del self._resting[connection]
            connection.close()


def has_news(connection: Connection) -> bool:
    """Tell whether the server sent something unasked: it ends connections so."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _is_usable(connection: Connection) -> bool:
    idle = psycopg.pq.TransactionStatus.IDLE
    return not connection.closed and connection.info.transaction_status == idle


def _connect(dsn: str) -> Connection:
    connection = pgsession.connect(
        dsn,
        autocommit=True,
        settings=SETTINGS,
        patience=CONNECT_SECONDS,
        application_name="backups-portal-api",
    )
    read_safely(connection)
    return connection
