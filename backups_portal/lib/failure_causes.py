"""Causes of failures: one word for programs, beside the sentence for people.

Errors carry theirs, so that code which catches one need not know its class; what the database
drivers raise is told apart by its SQLSTATE. A text is never looked at.
"""

import re
from enum import StrEnum


class Cause(StrEnum):
    """The cause for which a snapshot, copy, restore, proof or transfer failed.

    More may come; none changes its meaning.
    """

    # The database server, of the project or of what is made of its backup.
    DATABASE_UNREACHABLE = "database_unreachable"
    DATABASE_REFUSED = "database_refused"
    # Somebody else has had a lock for too long.
    LOCKED = "locked"
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
    # What it was about went first: a backup before its proof, a device before its data were moved.
    REMOVED = "removed"
    # The account that asked for it no longer owns the project, or is closed.
    RIGHT_LOST = "right_lost"
    NAME_REFUSED = "name_refused"
    UNEXPECTED = "unexpected"


# As long as the longest of them, and some more: a new one needs no migration.
CAUSE_LENGTH = 24

# Classes of SQLSTATE (PostgreSQL, Appendix A), and the codes of time limits and locks.
CONNECTION_EXCEPTION, OPERATOR_INTERVENTION, INSUFFICIENT_RESOURCES = "08", "57", "53"
QUERY_CANCELED = "57014"
# What is said of both, in the middle of a sentence.
LOCKED_OUT = "another session kept a table locked for too long"
LOCK_NOT_AVAILABLE, OBJECT_IN_USE = "55P03", "55006"
# Of two that wait for each other the server ends one at once.
DEADLOCK_DETECTED = "40P01"
# What a driver raises when a connection fails: psycopg and ADBC have classes of their own, with
# these names (PEP 249).
AWAY = {"OperationalError", "InterfaceError"}


# In what PostgreSQL's client library says, what tells of the inside of the platform.
INNER = re.compile(
    r"^.*?connection to server (?:at|on) .*? failed: (?:FATAL: +)?| for user \"[^\"]*\""
)


def first_line(error: Exception) -> str:
    """Return the first line of what a driver says, without the host and the role.

    Returns:
        The kind of error if it says nothing; no full stop at the end.
    """
    text, _, _ = str(error).strip().partition("\n")
    return INNER.sub("", text).strip().rstrip(".") or type(error).__name__


def driver_cause(error: Exception) -> Cause:
    """Return the cause behind what psycopg or ADBC raised.

    A connection that failed, or broke, has no SQLSTATE: libpq keeps to itself what a server said.
    """
    code = getattr(error, "sqlstate", None) or ""
    if code == QUERY_CANCELED:
        return Cause.TIME_LIMIT
    if code in {LOCK_NOT_AVAILABLE, OBJECT_IN_USE, DEADLOCK_DETECTED}:
        return Cause.LOCKED
    if code[:2] == INSUFFICIENT_RESOURCES:
        return Cause.NO_ROOM
    if code[:2] in {CONNECTION_EXCEPTION, OPERATOR_INTERVENTION}:
        return Cause.DATABASE_UNREACHABLE
    is_away = not AWAY.isdisjoint(one.__name__ for one in type(error).__mro__)
    return Cause.DATABASE_UNREACHABLE if is_away and not code else Cause.DATABASE_REFUSED
