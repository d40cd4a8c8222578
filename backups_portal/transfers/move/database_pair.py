"""The two databases of a transfer."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import Connection

from backups_portal.lib import pgsession
from backups_portal.lib.failure_causes import Cause, driver_cause, first_line
from backups_portal.projectdb.provisioning import ensure_ledger
from backups_portal.projects.database_dsn import admin_dsn, project_dsn
from backups_portal.projects.models import Project
from backups_portal.transfers.errors import DEVICE_GONE, LockedOutError, TransferError
from backups_portal.transfers.move.tracks import prepare_target

FULL_DISK = "The target's database server has no space left. Continue when it has."


@contextmanager
def open_source(project: Project) -> Iterator[Connection]:
    """Open one consistent, read-only view of the source."""
    with pgsession.connect(project_dsn(project)) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield connection


@contextmanager
def open_target(project: Project) -> Iterator[Connection]:
    """Open the target with its ledger, outside a transaction.

    This uses the role that made it, because a project's own role cannot create temporary tables.
    """
    with pgsession.connect(admin_dsn(project), autocommit=True) as connection:
        ensure_ledger(connection)
        prepare_target(connection)
        yield connection


@contextmanager
def in_words() -> Iterator[None]:
    """Turn errors of the driver into sentences for an owner."""
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise TransferError(FULL_DISK, cause=Cause.NO_ROOM) from error
    except psycopg.errors.ForeignKeyViolation as error:
        raise TransferError(DEVICE_GONE, cause=Cause.REMOVED) from error
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        raise LockedOutError(
            "Another session has kept data locked for too long.", cause=Cause.LOCKED
        ) from error
    except psycopg.OperationalError as error:
        raise TransferError(
            "A database stopped responding: the project may be shut down or deleted "
            f"({first_line(error)}).",
            cause=driver_cause(error),
        ) from error
    except psycopg.Error as error:
        raise TransferError(
            f"A database refused: {first_line(error)}.", cause=driver_cause(error)
        ) from error
