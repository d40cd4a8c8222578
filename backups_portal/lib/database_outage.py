"""Outages of a database: how they are recognised, told, and when a client may try again."""

import psycopg
from django.db import InterfaceError, OperationalError

from backups_portal.lib.failure_causes import Cause, driver_cause, first_line

RETRY_AFTER_SECONDS = 30
# Django's exceptions are none of psycopg's: they have those as their cause.
DJANGO_ERRORS = (OperationalError, InterfaceError)
DRIVER_ERRORS = (psycopg.OperationalError, psycopg.InterfaceError)


def is_outage(error: BaseException | None) -> bool:
    """Tell whether an exception says that a database server is away.

    A statement that was refused, or took too long, is no outage: it would fail again.
    """
    if isinstance(error, DJANGO_ERRORS):
        # Without a cause Django itself has noticed that its connection is closed.
        return error.__cause__ is None or is_outage(error.__cause__)
    return isinstance(error, DRIVER_ERRORS) and driver_cause(error) is Cause.DATABASE_UNREACHABLE


def outage_in_words(error: Exception) -> str:
    """Say which database is not responding, or has refused, in a sentence that names no server.

    Args:
        error: One of `DJANGO_ERRORS` or `DRIVER_ERRORS`.
    """
    which = "The portal's database" if isinstance(error, DJANGO_ERRORS) else "A main database"
    what = "is not responding" if is_outage(error) else "has refused"
    return f"{which} {what}: {first_line(error)}."
