"""Session-level locks in the control database, which need no open transaction."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def session_lock(key: int) -> Iterator[bool]:
    """Try to hold a lock for the block; yield whether it was free."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        is_ours = bool(cursor.fetchone()[0])
    try:
        yield is_ours
    finally:
        if is_ours:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [key])


def wait_for_lock(key: int) -> None:
    """Wait until the lock is free."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(%s) FROM pg_advisory_lock(%s)", [key, key])
