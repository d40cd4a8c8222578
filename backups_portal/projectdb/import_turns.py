"""Turns of imports, moves and undos that write the records of one database.

An import and a batch of a move look up what the database has, and then store the rest: at the same
time, both would store the same records. An import during an undo would skip records that the undo
is about to remove.

Batches do not wait for each other, and imports into different devices rarely do. Locks in
PostgreSQL are either shared or not: an import takes one of several, by its device; batches and
undos share all.
"""

import psycopg
from psycopg import Connection

# The first key of these advisory locks; any number of our own would do: "bi" in ASCII.
IMPORTS = 0x6269
# More would rarely spare an import a wait for another device's, and each batch takes them all.
LOCKS = 32
ALL = "(%s, number) FROM generate_series(0, %s) AS number"


class TurnTakenError(psycopg.errors.LockNotAvailable):
    """An import has waited too long for a batch or an undo of a transfer."""


def exclude_moves(connection: Connection, device_id: str) -> None:
    """Wait for batches and undos; later ones wait until this transaction ends.

    Raises:
        TurnTakenError: the session's lock_timeout has passed.
    """
    statement = "SELECT pg_advisory_xact_lock(%s, hashtext(%s) & %s)"
    try:
        connection.execute(statement, [IMPORTS, device_id, LOCKS - 1])
    except psycopg.errors.LockNotAvailable as error:
        raise TurnTakenError(*error.args) from error


def exclude_imports(connection: Connection) -> None:
    """Wait for imports; later ones wait until this transaction ends.

    What the transaction reads afterwards includes the records of those imports.
    """
    connection.execute(f"SELECT pg_advisory_xact_lock_shared{ALL}", [IMPORTS, LOCKS - 1])


def exclude_imports_in_session(connection: Connection) -> None:
    """Wait for imports; later ones wait until this session ends."""
    connection.execute(f"SELECT pg_advisory_lock_shared{ALL}", [IMPORTS, LOCKS - 1])
