"""Pairs of connections that move batches in parallel."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import Connection, sql

from backups_portal.lib import pgsession

# One track reads and sorts while the other's rows are stored, which keeps two processors busy.
TRACKS = 2


@dataclass
class Track:
    """A pair of connections on which one batch at a time is moved.

    Attributes:
        source: In a repeatable-read transaction, with the same snapshot as all tracks.
        target: Opened by the role that made the database, which may create temporary tables.
        is_wide: Whether records with a location or metadata were found.
    """

    source: Connection
    target: Connection
    is_wide: bool = False

    def cancel(self) -> None:
        """Cancel the statements that another thread is running."""
        for connection in (self.source, self.target):
            connection.cancel_safe()


@contextmanager
def open_tracks(source: Connection, target: Connection, count: int) -> Iterator[list[Track]]:
    """Open tracks, the first of them on two connections that are open."""
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
    """Open another connection that sees the same snapshot as this one."""
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
    """Give a session on the target enough memory to sort and hash a batch."""
    connection.execute("SET work_mem = '64MB'")
