"""Bring main databases of older versions up to this one's schema.

What is here adds, and takes away what no version reads: one that is still running meanwhile goes on
working. The exception is its backups of a database whose change marks are closed: they fail, and
are tried again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection

from backups_portal.projectdb.excluded_settings import remove_excluded_settings
from backups_portal.projectdb.provisioning import (
    GROUP_ROLE,
    OPEN_LARGE_OBJECTS,
    TEMPLATE_LOCK,
    TRACKING,
    close_large_objects,
    ensure_ledger,
    grant_rights,
)

# A session that waits for a lock keeps all later ones waiting.
LOCK_TIMEOUT = "5s"


@dataclass(frozen=True)
class Step:
    """Something that databases made by an older version lack.

    Attributes:
        name: What it is called when it was added.
        lacks: A query; whether the database lacks it.
        make: Makes it, in a transaction of its own.
    """

    name: str
    lacks: LiteralString
    make: Callable[[Connection], object]


def _track(inside: Connection) -> None:
    """Track by whole days, and read everything once: chunks have changed."""
    inside.execute(TRACKING.read_bytes())
    inside.execute("INSERT INTO change_mark (chunk, rows) VALUES (NULL, 0)")


# In the order in which they are made; new ones come last.
STEPS = (
    Step(
        "the ledger of transfers",
        "SELECT to_regclass('transfer_resource') IS NULL",
        ensure_ledger,
    ),
    Step(
        "device_name",
        "SELECT to_regclass('device_name') IS NULL",
        lambda inside: inside.execute("CREATE INDEX device_name ON device (name, id)"),
    ),
    Step(
        "marks of whole days by triggers alone",
        "SELECT NOT prosecdef FROM pg_proc WHERE oid = 'mark_inserted'::regproc",
        _track,
    ),
    Step(
        "internal tables that projects cannot write",
        f"SELECT has_table_privilege('{GROUP_ROLE}', 'change_mark', 'DELETE')",
        grant_rights,
    ),
    Step(
        "a lock on large objects",
        f"{OPEN_LARGE_OBJECTS} AND current_setting('is_superuser') = 'on'",
        close_large_objects,
    ),
)


def has_open_large_objects(inside: Connection) -> bool:
    """Tell whether projects can make large objects."""
    row = inside.execute(OPEN_LARGE_OBJECTS).fetchone()
    return bool(row and row[0])


def upgrade_database(inside: Connection) -> list[str]:
    """Make what is missing, and clean what is there; returns what was done.

    Safe to repeat and to race.

    Args:
        inside: Outside a transaction, opened by the role that made the database; it gets our limit
            for locks.
    """
    inside.execute("SELECT set_config('lock_timeout', %s, false)", [LOCK_TIMEOUT])
    made = [step.name for step in STEPS if _make(inside, step)]
    cleaned = remove_excluded_settings(inside)
    return [*made, *(f"settings of {name} without what is excluded" for name in cleaned)]


def _make(inside: Connection, step: Step) -> bool:
    with inside.transaction():
        inside.execute("SELECT pg_advisory_xact_lock(%s)", [TEMPLATE_LOCK])
        row = inside.execute(step.lacks).fetchone()
        if lacks := bool(row and row[0]):
            step.make(inside)
    return lacks
