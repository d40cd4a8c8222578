"""Causes of failures: one word for programs, next to the sentence for people.

Errors carry their cause, so that code which catches one need not know its class; errors of database
drivers are told apart by SQLSTATE, never by their text.
"""

import re
from enum import StrEnum


class Cause(StrEnum):
    """The cause why a snapshot, copy, restore, proof or transfer failed.

    Causes may be added; none changes its meaning.
    """

    # The database server of the project, or of the database made from its backup.
    DATABASE_UNREACHABLE = "database_unreachable"
    DATABASE_REFUSED = "database_refused"
    # Another session held a lock for too long.
    LOCKED = "locked"
    NO_ROOM = "no_room"
    STORAGE = "storage"
    ENCRYPTION_KEY = "encryption_key"
    DAMAGED = "damaged"
    # The schema or the stored format needs another version of this software.
    VERSION = "version"
    TIME_LIMIT = "time_limit"
    # Its workers were lost one after another.
    INTERRUPTED = "interrupted"
    SHUT_DOWN = "shut_down"
    # Its subject was deleted first: a backup before its proof, a device before its data were moved.
    REMOVED = "removed"
    # The account that requested it no longer owns the project, or is closed.
    RIGHT_LOST = "right_lost"
    NAME_REFUSED = "name_refused"
    UNEXPECTED = "unexpected"


# Some more than the longest cause has, so that a new one needs no migration.
CAUSE_LENGTH = 24

# Classes of SQLSTATE (PostgreSQL, Appendix A), and the codes of time limits and locks.
CONNECTION_EXCEPTION, OPERATOR_INTERVENTION, INSUFFICIENT_RESOURCES = "08", "57", "53"
QUERY_CANCELED = "57014"
# The explanation of both codes below, in the middle of a sentence.
LOCKED_OUT = "another session kept a table locked for too long"
LOCK_NOT_AVAILABLE, OBJECT_IN_USE = "55P03", "55006"
# Of two sessions that wait for each other, the server cancels one at once.
DEADLOCK_DETECTED = "40P01"
# Raised when a connection fails: psycopg and ADBC each have classes of these names (PEP 249).
AWAY = {"OperationalError", "InterfaceError"}


# The parts of libpq's messages that reveal the inside of the platform.
INNER = re.compile(
    r"^.*?connection to server (?:at|on) .*? failed: (?:FATAL: +)?| for user \"[^\"]*\""
)


def first_line(error: BaseException) -> str:
    """Return the first line of a driver's message, without host and role.

    Returns:
        The error's class name if the message is empty; no full stop at the end.
    """
    text, _, _ = str(error).strip().partition("\n")
    return INNER.sub("", text).strip().rstrip(".") or type(error).__name__


def driver_cause(error: Exception) -> Cause:
    """Return the cause of an error of psycopg or ADBC.

    A connection that failed or broke has no SQLSTATE: libpq does not pass the server's on.
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
