"""Pool connections to projects' databases: few per project and in total.

A process serves every project, so a pool with its own threads per project would cost too much.
Here a connection is opened on demand, kept when it is returned, and closed once it has been idle
for a while or too many others have been used since.
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
# Pages are read through an index from one end, which leaves nothing to parallelise. The default
# random_page_cost is that of a rotating disk, and makes the planner sort instead. Clients give up
# after 60 seconds; the timeouts are shorter, so that they get an error that says why.
SETTINGS = {
    "lock_timeout": "12s",
    "max_parallel_workers_per_gather": "0",
    "random_page_cost": "1.1",
    "statement_timeout": "50s",
    "idle_in_transaction_session_timeout": "60s",
}


class PoolBusyError(Exception):
    """All connections of the project stayed busy for too long."""


class Pools:
    """Connections by project.

    Args:
        limit: How many connections to one project this process may have.
        idle_limit: How many idle connections are kept across all projects.
        idle_seconds: How long an idle connection is kept.
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
        self._idle: OrderedDict[Connection, tuple[str, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._sweeper: threading.Timer | None = None

    def take(self, key: str, dsn: Callable[[], str]) -> Connection:
        """Take a working connection in autocommit mode.

        Args:
            key: Identifies the project.
            dsn: Returns the URL of its database; called only to open a connection.

        Raises:
            PoolBusyError: all connections are in use, and none was returned in time.
            psycopg.OperationalError: the database does not answer.
        """
        with self._lock:
            place = self._places.setdefault(key, threading.Semaphore(self._limit))
        if not place.acquire(timeout=self._wait_seconds):
            raise PoolBusyError
        try:
            return self._take_idle(key) or _connect(dsn())
        except BaseException:
            place.release()
            raise

    def _take_idle(self, key: str) -> Connection | None:
        """Take the most recently used connection that still works."""
        while True:
            with self._lock:
                newest_first = reversed(self._idle.items())
                own = (connection for connection, (owner, _) in newest_first if owner == key)
                if (connection := next(own, None)) is None:
                    return None
                del self._idle[connection]
            if not connection.closed and not has_news(connection):
                return connection
            connection.close()

    def give_back(self, key: str, connection: Connection) -> None:
        """Return a connection; close it if it is broken or in a transaction."""
        if _is_usable(connection):
            with self._lock:
                self._idle[connection] = (key, time.monotonic())
                self._sweep_later()
        else:
            connection.close()
        self._places[key].release()
        self._close_while(lambda since: len(self._idle) > self._idle_limit)

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
            if self._idle:
                self._sweep_later()

    def _close_while(self, is_due: Callable[[float], bool]) -> None:
        """Close idle connections, the longest idle first, while they are due."""
        while True:
            with self._lock:
                if not self._idle:
                    return
                connection, (_, since) = next(iter(self._idle.items()))
                if not is_due(since):
                    return
                del self._idle[connection]
            connection.close()


def has_news(connection: Connection) -> bool:
    """Tell whether the server sent data unasked, as before it disconnects."""
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
