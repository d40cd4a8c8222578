"""Upgrade main databases of older versions to the current schema.

Steps only add things, or remove what no version reads, so that an older version still running keeps
working. One exception: its backups of a database whose change marks it may no longer write fail,
and are retried.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import Connection

from backups_portal.projectdb.cluster_names import GROUP_OF, TRACKING, group_of, group_role
from backups_portal.projectdb.excluded_settings import remove_excluded_settings
from backups_portal.projectdb.named_statements import execute_named
from backups_portal.projectdb.provisioning import (
    OPEN_LARGE_OBJECTS,
    TEMPLATE_LOCK,
    close_large_objects,
    ensure_group,
    ensure_ledger,
    grant_rights,
)

# A session that waits for a lock keeps all later ones waiting, so it must give up soon.
LOCK_TIMEOUT = "5s"
LEAVE_GROUP: tuple[LiteralString, ...] = (
    "GRANT {own} TO {role}",
    "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {shared}",
    "REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {shared}",
    "REVOKE ALL ON SCHEMA public FROM {shared}",
)


@dataclass(frozen=True)
class Step:
    """Something that databases made by an older version lack.

    Attributes:
        name: What the command prints after adding it.
        lacks: A query that returns whether the database lacks it.
        make: Adds it; runs in a separate transaction.
    """

    name: str
    lacks: LiteralString
    make: Callable[[Connection], object]


def _track(inside: Connection) -> None:
    """Track changes by whole days, and make the next backup read everything."""
    inside.execute(TRACKING.read_bytes())
    inside.execute("INSERT INTO change_mark (chunk, rows) VALUES (NULL, 0)")


# Steps in the order in which they run; add new ones at the end.
STEPS = (
    Step(
        "the ledger of transfers",
        "SELECT to_regclass('transfer_returned') IS NULL",
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
        f"SELECT has_table_privilege(({GROUP_OF} LIMIT 1), 'change_mark', 'DELETE')",
        lambda inside: grant_rights(inside, group_of(inside)),
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


def upgrade_database(inside: Connection, installation: str) -> list[str]:
    """Add what is missing, and remove excluded settings; return what was done.

    Idempotent, also when run concurrently.

    Args:
        inside: A connection outside a transaction, opened by the role that made the database; its
            `lock_timeout` is set.
        installation: The id of the installation that the database belongs to.
    """
    inside.execute("SELECT set_config('lock_timeout', %s, false)", [LOCK_TIMEOUT])
    made = [step.name for step in STEPS if _make(inside, step)]
    if _move_to_own_group(inside, installation):
        made.append("rights by a role of this installation's own")
    cleaned = remove_excluded_settings(inside)
    return [*made, *(f"settings of {name} without what is excluded" for name in cleaned)]


def _make(inside: Connection, step: Step) -> bool:
    with inside.transaction():
        inside.execute("SELECT pg_advisory_xact_lock(%s)", [TEMPLATE_LOCK])
        row = inside.execute(step.lacks).fetchone()
        if lacks := bool(row and row[0]):
            step.make(inside)
    return lacks


def _move_to_own_group(inside: Connection, installation: str) -> bool:
    """Move the rights from the group that all portals of a server shared.

    Returns whether that was necessary. It does not interrupt the project's sessions.
    """
    with inside.transaction():
        inside.execute("SELECT pg_advisory_xact_lock(%s)", [TEMPLATE_LOCK])
        own, shared = group_role(installation), group_of(inside)
        if own == shared:
            return False
        ensure_group(inside, installation)
        grant_rights(inside, own)
        # A project's role has the name of its database.
        names = {"own": own, "shared": shared, "role": inside.info.dbname}
        execute_named(inside, *LEAVE_GROUP, **names)
        # Only the role that granted the membership may revoke it. If another role did, the
        # membership stays but means nothing: the group no longer has any rights here.
        with suppress(psycopg.errors.InsufficientPrivilege), inside.transaction():
            execute_named(inside, "REVOKE {shared} FROM {role}", **names)
    return True
