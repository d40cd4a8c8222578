"""Pairs of connections that move batches side by side."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import Connection, sql

from backups_portal.lib import pgsession

# One reads and sorts while another one's rows are stored: two processors have enough to do.
TRACKS = 2


@dataclass
class Track:
    """A pair of connections on which one batch at a time is moved.

    Attributes:
        source: In a repeatable-read transaction, with the view that all tracks have.
        target: Opened by the role that made the database, which may make temporary tables.
        is_wide: Records with a location or metadata were met.
    """

    source: Connection
    target: Connection
    is_wide: bool = False

    def cancel(self) -> None:
        """Make statements fail that another thread waits for."""
        for connection in (self.source, self.target):
            connection.cancel_safe()


@contextmanager
def open_tracks(source: Connection, target: Connection, count: int) -> Iterator[list[Track]]:
    """Open tracks beside that of two open connections, which is the first."""
    with ExitStack() as opened:
        tracks = [Track(source, target)]
        for _ in range(1, count):
            track = Track(
                opened.enter_context(same_view(source)), opened.enter_context(twin(target))
            )
            tracks.append(track)
        yield tracks


@contextmanager
def same_view(source: Connection) -> Iterator[Connection]:
    """Open another connection that sees what this one sees."""
    row = source.execute("SELECT pg_export_snapshot()").fetchone()
    snapshot = sql.Literal(str(row[0]) if row else "")
    with pgsession.connect(source.info.dsn, password=source.info.password) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))
        yield connection


@contextmanager
def twin(target: Connection) -> Iterator[Connection]:
    """Open another connection to the target, outside a transaction."""
    dsn, password = target.info.dsn, target.info.password
    with pgsession.connect(dsn, password=password, autocommit=True) as connection:
        prepare_target(connection)
        yield connection


def prepare_target(connection: Connection) -> None:
    """Let a session of ours on the target sort and hash a batch in memory."""
    connection.execute("SET work_mem = '64MB'")
