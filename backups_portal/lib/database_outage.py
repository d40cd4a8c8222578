"""Outages of a database: how they are recognised, told, and when a client may try again."""

import psycopg
from django.db import InterfaceError, OperationalError
from psycopg import errors

from backups_portal.lib.failure_causes import Cause, driver_cause, first_line

RETRY_AFTER_SECONDS = 30
# Django's exceptions are none of psycopg's: they have those as their cause.
DJANGO_ERRORS = (OperationalError, InterfaceError)
DRIVER_ERRORS = (psycopg.OperationalError, psycopg.InterfaceError)
# What a server that answers has run out of. Class 53 also has limits of one statement.
SHORTAGES: dict[type[psycopg.Error], str] = {
    errors.DiskFull: "cannot store anything right now",
    errors.OutOfMemory: "has too little memory right now",
    errors.TooManyConnections: "takes no more connections right now",
}


def is_outage(error: BaseException | None) -> bool:
    """Tell whether an exception says that a database server is away, or has run out of something.

    A statement that was refused, or took too long, is no outage: it would fail again.
    """
    return bool(shortage(error)) or _cause(error) is Cause.DATABASE_UNREACHABLE


def shortage(error: BaseException | None) -> str:
    """Say what a server that answers cannot do, as in SHORTAGES; "" if it is none of that."""
    driver_error = error.__cause__ if isinstance(error, DJANGO_ERRORS) else error
    return next((words for kind, words in SHORTAGES.items() if isinstance(driver_error, kind)), "")


def _cause(error: BaseException | None) -> Cause | None:
    if isinstance(error, DJANGO_ERRORS):
        # Without a cause Django itself has noticed that its connection is closed.
        return _cause(error.__cause__) if error.__cause__ else Cause.DATABASE_UNREACHABLE
    return driver_cause(error) if isinstance(error, DRIVER_ERRORS) else None


def outage_in_words(error: Exception) -> str:
    """Say which database is not responding, or has refused, in a sentence that names no server.

    Args:
        error: One of `DJANGO_ERRORS` or `DRIVER_ERRORS`.
    """
    which = "The portal's database" if isinstance(error, DJANGO_ERRORS) else "A main database"
    is_away = _cause(error) is Cause.DATABASE_UNREACHABLE
    what = "is not responding" if is_away else "has refused"
    return f"{which} {what}: {first_line(error)}."
