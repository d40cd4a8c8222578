"""When a restore that failed is tried again without being asked to: where time alone may help."""

from datetime import datetime, timedelta

import psycopg
from adbc_driver_manager import Error as AdbcError
from django.conf import settings

from restores.models import Build
from snapshots.engine.errors import StorageError

Error = BaseException | None


def may_pass(error: Exception) -> bool:
    """Whether a server or the storage was away, and not the snapshot or the wish at fault."""
    if isinstance(error, StorageError):
        return True
    return _is_away(error) or _is_away(error.__cause__)


def _is_away(error: Error) -> bool:
    # A full disk waits for an operator, who had better hear of it now.
    return isinstance(
        error, (psycopg.OperationalError, psycopg.InterfaceError, AdbcError)
    ) and not isinstance(error, psycopg.errors.DiskFull)


def retry_at(row: Build, now: datetime) -> datetime | None:
    """When to try again; None where the failure is final.

    Args:
        row: Of the attempt that failed; `attempts` counts it.
    """
    waits: list[int] = settings.RESTORE_RETRY_MINUTES
    return now + timedelta(minutes=waits[row.attempts - 1]) if row.attempts <= len(waits) else None
