"""The two databases of a transfer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection

from backups_portal.projectdb.provisioning import ensure_ledger
from backups_portal.projects.connections import admin_dsn, project_dsn
from backups_portal.projects.models import Project
from backups_portal.transfers.errors import TransferError

FULL_DISK = "The target's database server has no space left. Continue when it has."


@contextmanager
def open_source(project: Project) -> Iterator[Connection[Any]]:
    """One consistent, read-only view of the source."""
    with psycopg.connect(project_dsn(project), connect_timeout=10) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield connection


@contextmanager
def open_target(project: Project) -> Iterator[Connection[Any]]:
    """The target with its ledger, outside a transaction.

    It is entered by the role that made it: a project's own role makes no temporary tables.
    """
    with psycopg.connect(admin_dsn(project), autocommit=True, connect_timeout=10) as connection:
        ensure_ledger(connection)
        # A batch is committed to the ledger with its rows; a crash of the server loses both.
        connection.execute("SET work_mem = '64MB'")
        yield connection


@contextmanager
def in_words() -> Iterator[None]:
    """Turn what the driver raises into a sentence for an owner."""
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise TransferError(FULL_DISK) from error
    except psycopg.errors.ForeignKeyViolation as error:
        raise TransferError("A device of the target was deleted in the meantime.") from error
    except psycopg.OperationalError as error:
        raise TransferError(
            "A database does not answer any more: the project may be shut down or deleted. "
            f"({_first_line(error)})"
        ) from error
    except psycopg.Error as error:
        raise TransferError(f"A database refused: {_first_line(error)}") from error


def _first_line(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
