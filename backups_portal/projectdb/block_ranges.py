"""Rebuild block-range indexes (BRIN) with several ranges after a load.

A new heap is in the order of chunks and numbers, so the least and the greatest value of a block
range are enough to find them, and such an index builds in a quarter of the time. It becomes useless
once PostgreSQL fills gaps in old pages with new rows; by then, indexes that keep several ranges
have replaced it (decisions 0002 and 0043).
"""

import time
from dataclasses import asdict, dataclass

import psycopg
from psycopg import Connection

from backups_portal.projectdb.named_statements import execute_named

# The key of an advisory lock; any number of our own would do: "bb" in ASCII.
REBUILD_LOCK = 0x6262
# How long the rebuild waits for earlier sessions, without making others wait.
PATIENCE_SECONDS = 30.0
MAX_DEADLOCKS = 5
LOOK_SECONDS = 0.2
SEVERAL, ONE = "_minmax_multi_ops", "_minmax_ops"


# Transactions that use the records: a reader holds its lock to its end.
USERS = """SELECT DISTINCT virtualtransaction FROM pg_locks
    JOIN pg_database ON pg_database.oid = database AND datname = current_database()
    WHERE relation = 'public.variable'::regclass AND pid <> pg_backend_pid()"""


class BusyError(Exception):
    """Another session rebuilds the same indexes, or uses the records for long."""


@dataclass(frozen=True)
class BlockRanges:
    """A block-range index as schema.sql makes it."""

    name: str
    column: str
    operators: str

    @property
    def draft(self) -> str:
        """Return its name until it replaces the current index."""
        return f"{self.name}_draft"


BLOCK_RANGES = (
    BlockRanges("variable_time", "time", f"timestamptz{SEVERAL}"),
    BlockRanges("variable_id", "id", f"int8{SEVERAL}"),
)
CREATE = """CREATE INDEX CONCURRENTLY {draft} ON variable
    USING brin ({column} {operators}) WITH (pages_per_range = 32, autosummarize)"""
# Whether an index is usable, and whether it keeps several ranges.
STATE = """SELECT indisvalid, opcname LIKE %s FROM pg_index
    JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_opclass ON pg_opclass.oid = indclass[0]
    WHERE indrelid = 'public.variable'::regclass AND relname = %s"""


def with_one_range(definition: str) -> str:
    """Return an index's definition with one range for each block range."""
    return definition.replace(SEVERAL, ONE)


def rebuild_block_ranges(inside: Connection) -> list[str]:
    """Replace the indexes of one range; return the names of those replaced.

    It takes no lock that blocks readers or writers, and gives up after waiting
    `PATIENCE_SECONDS` for another session. Safe to repeat, also after an interruption at any
    moment.

    Args:
        inside: A connection outside a transaction, opened by the role that made the database; its
            `lock_timeout` is set.

    Raises:
        BusyError: another session rebuilds them, or uses the records for longer than that.
        psycopg.errors.LockNotAvailable: a session blocked it; try again later.
        psycopg.Error: the database cannot be reached or refuses.
    """
    patience = f"{PATIENCE_SECONDS * 1000:.0f}ms"
    inside.execute("SELECT set_config('lock_timeout', %s, false)", [patience])
    # Leave the other cores to the project's own sessions.
    inside.execute("SET max_parallel_maintenance_workers = 0")
    row = inside.execute("SELECT pg_try_advisory_lock(%s)", [REBUILD_LOCK]).fetchone()
    if row != (True,):
        raise BusyError("another session rebuilds them")
    # No `finally` is needed for the lock: it ends with the session, which an error may have broken.
    rebuilt = [index.name for index in BLOCK_RANGES if _replace_with_retries(inside, index)]
    if rebuilt:
        # The restore's own ANALYZE sampled few rows only.
        inside.execute("ANALYZE variable")
    inside.execute("SELECT pg_advisory_unlock(%s)", [REBUILD_LOCK])
    return rebuilt


def _replace_with_retries(inside: Connection, index: BlockRanges) -> bool:
    """Replace an index; retry after a deadlock with a block summarization.

    The server aborts one of the two; the next try resumes or drops what an aborted build left.
    """
    for _ in range(MAX_DEADLOCKS):
        try:
            return _replace(inside, index)
        except psycopg.errors.DeadlockDetected:
            continue
    return _replace(inside, index)


def _replace(inside: Connection, index: BlockRanges) -> bool:
    draft, name = _state(inside, index.draft), _state(inside, index.name)
    if name == (True, True) and draft is None:
        return False
    _wait_for_users(inside)
    if name == (True, True):
        # An interrupted build left only its draft behind.
        _drop(inside, index.draft)
        return False
    if draft != (True, True):
        _drop(inside, index.draft)
        execute_named(inside, CREATE, **asdict(index), draft=index.draft)
    _drop(inside, index.name)
    execute_named(
        inside, "ALTER INDEX {draft} RENAME TO {name}", draft=index.draft, name=index.name
    )
    return True


def _wait_for_users(inside: Connection) -> None:
    """Wait for the sessions that use the records now, such as a backup.

    A build that gave up waiting for them would leave its draft, which every writer would have to
    maintain until the next try.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    left = _users(inside)
    while left:
        if time.monotonic() > deadline:
            raise BusyError("another session uses the records for long")
        time.sleep(LOOK_SECONDS)
        left &= _users(inside)


def _users(inside: Connection) -> set[str]:
    return {str(transaction) for (transaction,) in inside.execute(USERS)}


def _state(inside: Connection, name: str) -> tuple[bool, bool] | None:
    row = inside.execute(STATE, [f"%{SEVERAL}", name]).fetchone()
    return (bool(row[0]), bool(row[1])) if row else None


def _drop(inside: Connection, name: str) -> None:
    execute_named(inside, "DROP INDEX CONCURRENTLY IF EXISTS {name}", name=name)
