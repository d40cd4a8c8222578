"""What kind of failure it was: one word for programs, beside the sentence for people.

Errors carry theirs, so that whoever catches one need not know its class; what the database drivers
raise is told apart by its SQLSTATE. A text is never looked at.
"""

from enum import StrEnum

import psycopg


class Cause(StrEnum):
    """Why a snapshot, copy, restore or proof failed. More may come; none changes its meaning."""

    # The database server, of the project or of what is made of its backup.
    DATABASE_UNREACHABLE = "database_unreachable"
    DATABASE_REFUSED = "database_refused"
    NO_ROOM = "no_room"
    STORAGE = "storage"
    ENCRYPTION_KEY = "encryption_key"
    DAMAGED = "damaged"
    # Another version of this software is needed, for the schema or the format of what is there.
    VERSION = "version"
    TIME_LIMIT = "time_limit"
    # Its workers were lost, one after the other.
    INTERRUPTED = "interrupted"
    SHUT_DOWN = "shut_down"
    # The backup went before its proof had begun.
    REMOVED = "removed"
    NAME_REFUSED = "name_refused"
    UNEXPECTED = "unexpected"


# As long as the longest of them, and some more: a new one needs no migration.
CAUSE_LENGTH = 24

# Classes of SQLSTATE (PostgreSQL, Appendix A), and the one code that a time limit has.
CONNECTION_EXCEPTION, OPERATOR_INTERVENTION, INSUFFICIENT_RESOURCES = "08", "57", "53"
QUERY_CANCELED = "57014"


def driver_cause(error: Exception) -> Cause:
    """The cause behind what psycopg or ADBC raised.

    A connection that failed has no SQLSTATE, whatever the server said: libpq keeps it to itself.
    """
    code = getattr(error, "sqlstate", None) or ""
    if code == QUERY_CANCELED:
        return Cause.TIME_LIMIT
    if code[:2] == INSUFFICIENT_RESOURCES:
        return Cause.NO_ROOM
    if code[:2] in {CONNECTION_EXCEPTION, OPERATOR_INTERVENTION}:
        return Cause.DATABASE_UNREACHABLE
    is_away = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return Cause.DATABASE_UNREACHABLE if is_away and not code else Cause.DATABASE_REFUSED
