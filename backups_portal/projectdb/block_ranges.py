"""Rebuild block-range indexes (BRIN) with several ranges after a load.

A new heap is in the order of its chunks and numbers, so that the least and the greatest value of a
block range find them, and such an index takes a quarter of the time. It is of little use once
PostgreSQL fills gaps in old pages with new rows; by then indexes that keep several ranges have
taken its place (decisions 0002 and 0043).
"""

import time
from dataclasses import dataclass

import psycopg
from psycopg import Connection, sql

# Any number will do, as long as it is ours: "bb" in ASCII.
REBUILD_LOCK = 0x6262
# How long the rebuild waits for sessions that began before; nobody waits for it meanwhile.
PATIENCE_SECONDS = 30.0
MAX_DEADLOCKS = 5
LOOK_SECONDS = 0.2
# The name of an index until it replaces the one in use.
DRAFT = "{}_draft"
SEVERAL, ONE = "_minmax_multi_ops", "_minmax_ops"


# Transactions that use the records: a reader holds its lock to its end.
USERS = """SELECT DISTINCT virtualtransaction FROM pg_locks
    JOIN pg_database ON pg_database.oid = database AND datname = current_database()
    WHERE relation = 'public.variable'::regclass AND pid <> pg_backend_pid()"""


class BusyError(Exception):
    """Another session rebuilds the indexes of this database, or uses its records for long."""


@dataclass(frozen=True)
class BlockRanges:
    """A block-range index as schema.sql makes it."""

    name: str
    column: str
    operators: str

    @property
    def draft(self) -> str:
        """The name of one that is being built."""
        return DRAFT.format(self.name)


BLOCK_RANGES = (
    BlockRanges("variable_time", "time", f"timestamptz{SEVERAL}"),
    BlockRanges("variable_id", "id", f"int8{SEVERAL}"),
)
CREATE = """CREATE INDEX CONCURRENTLY {draft} ON variable
    USING brin ({column} {operators}) WITH (pages_per_range = 32, autosummarize)"""
# Whether it is usable, and keeps several ranges.
STATE = """SELECT indisvalid, opcname LIKE %s FROM pg_index
    JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_opclass ON pg_opclass.oid = indclass[0]
    WHERE indrelid = 'public.variable'::regclass AND relname = %s"""


def with_one_range(definition: str) -> str:
    """Return an index's definition with one range for each block range."""
    return definition.replace(SEVERAL, ONE)


def rebuild_block_ranges(inside: Connection) -> list[str]:
    """Replace the indexes of one range; return the names of those replaced.

    Nobody waits for it: it takes no lock that a reader or a writer needs, and gives up after
    `PATIENCE_SECONDS` where it waits for a session itself. Safe to repeat, also after it was
    interrupted at any moment.

    Args:
        inside: Outside a transaction, opened by the role that made the database; it gets our limit
            for locks.

    Raises:
        BusyError: another session rebuilds them, or uses the records for longer than that.
        psycopg.errors.LockNotAvailable: a session held it up; try again later.
        psycopg.Error: the database cannot be reached or refuses.
    """
    patience = f"{PATIENCE_SECONDS * 1000:.0f}ms"
    inside.execute("SELECT set_config('lock_timeout', %s, false)", [patience])
    # The project's own sessions need the other cores.
    inside.execute("SET max_parallel_maintenance_workers = 0")
    row = inside.execute("SELECT pg_try_advisory_lock(%s)", [REBUILD_LOCK]).fetchone()
    if row != (True,):
        raise BusyError("another session rebuilds them")
    # The lock ends with the session, which may be broken.
    rebuilt = [index.name for index in BLOCK_RANGES if _replace_with_retries(inside, index)]
    if rebuilt:
        # The loader has looked at few rows only.
        inside.execute("ANALYZE variable")
    inside.execute("SELECT pg_advisory_unlock(%s)", [REBUILD_LOCK])
    return rebuilt


def _replace_with_retries(inside: Connection, index: BlockRanges) -> bool:
    """Replace an index; retry if a session that summarizes blocks deadlocked with us.

    The server ends one of the two; what an ended build left is taken up or dropped.
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
        # An interrupted build has left nothing else behind than its draft.
        _drop(inside, index.draft)
        return False
    if draft != (True, True):
        _drop(inside, index.draft)
        _create(inside, index)
    _drop(inside, index.name)
    inside.execute(
        sql.SQL("ALTER INDEX {} RENAME TO {}").format(
            sql.Identifier(index.draft), sql.Identifier(index.name)
        )
    )
    return True


def _wait_for_users(inside: Connection) -> None:
    """Wait for those who use the records now, such as a backup.

    A build that waited for them in vain would leave its draft, which every writer fills until the
    next try.
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


def _create(inside: Connection, index: BlockRanges) -> None:
    inside.execute(
        sql.SQL(CREATE).format(
            draft=sql.Identifier(index.draft),
            column=sql.Identifier(index.column),
            operators=sql.Identifier(index.operators),
        )
    )


def _drop(inside: Connection, name: str) -> None:
    inside.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(name)))
