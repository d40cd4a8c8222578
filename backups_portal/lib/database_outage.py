"""Outages of a database: how to recognise and explain them, and when to retry."""

import psycopg
from django.db import InterfaceError, InternalError, OperationalError

from backups_portal.lib.crypto import DecryptionError
from backups_portal.lib.failure_causes import Cause, driver_cause, first_line

RETRY_AFTER_SECONDS = 30
# Django's exceptions do not inherit from psycopg's: they have those as their cause.
DJANGO_ERRORS = (OperationalError, InterfaceError, InternalError)
DRIVER_ERRORS = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)
# What is wrong with a server that answers, by SQLSTATE or its class (PostgreSQL, Appendix A).
FAULTS = {
    # A replica, for example after a failover, or a server that was set to read-only.
    "25006": "accepts no changes right now",
    # A session was idle in a transaction, or its transaction took too long.
    "25P03": "ended the connection",
    "25P04": "ended the connection",
    "53": "lacks something that it needs right now",
    "53100": "cannot store anything right now",
    "53200": "has too little memory right now",
    "53300": "takes no more connections right now",
    "57": "ended the connection",
    "57P03": "is starting or shutting down",
    "58": "has a fault on its server",
}
# Codes in those classes that concern one statement, which would fail again.
LIMITS = {
    "53400": "allows less temporary space than this takes: ask for less at a time",
    "57014": "took too long: ask for less at a time",
}
# For a wrong INSTALLATION_KEY, until the operator restores the right one; the log names it.
SEALED = "cannot be read right now"


def is_outage(error: BaseException | None) -> bool:
    """Tell whether an exception means that a database server is unavailable.

    One whose address or password cannot be decrypted is, too. A statement that was refused or
    took too long is not an outage: it would fail again.
    """
    return bool(server_fault(error)) or _cause(error) is Cause.DATABASE_UNREACHABLE


def server_fault(error: BaseException | None) -> str:
    """Return the entry of FAULTS for an error, SEALED, or ""."""
    if isinstance(error, DecryptionError):
        return SEALED
    code = _sqlstate(error)
    return "" if code in LIMITS else FAULTS.get(code) or FAULTS.get(code[:2], "")


def statement_limit(error: BaseException | None) -> str:
    """Return the entry of LIMITS for an error, or ""."""
    return LIMITS.get(_sqlstate(error), "")


def _sqlstate(error: BaseException | None) -> str:
    driver_error = error.__cause__ if isinstance(error, DJANGO_ERRORS) else error
    return str(getattr(driver_error, "sqlstate", None) or "")


def _cause(error: BaseException | None) -> Cause | None:
    if isinstance(error, DJANGO_ERRORS):
        # Without a cause, Django itself noticed that its connection is closed.
        return _cause(error.__cause__) if error.__cause__ else Cause.DATABASE_UNREACHABLE
    return driver_cause(error) if isinstance(error, DRIVER_ERRORS) else None


def outage_in_words(error: Exception) -> str:
    """Say which database does not respond or refuses, naming no server.

    Args:
        error: One of `DJANGO_ERRORS` or `DRIVER_ERRORS`.
    """
    which = "The portal's database" if isinstance(error, DJANGO_ERRORS) else "A main database"
    # A server that refuses a connection, as for a wrong password, has responded.
    is_away = _cause(error) is Cause.DATABASE_UNREACHABLE and "FATAL:" not in str(error)
    what = "is not responding" if is_away else "has refused"
    return f"{which} {what}: {first_line(error)}."
