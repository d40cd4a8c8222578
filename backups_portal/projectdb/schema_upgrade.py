"""Bring main databases of older versions up to this one's schema.

Steps only add, or remove what no version reads, so that an older version that is still running goes
on working. One exception: its backups of a database whose change marks are already closed to it
fail, and are tried again.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import Connection, sql

from backups_portal.projectdb.cluster_names import GROUP_OF, TRACKING, group_of, group_role
from backups_portal.projectdb.excluded_settings import remove_excluded_settings
from backups_portal.projectdb.provisioning import (
    OPEN_LARGE_OBJECTS,
    TEMPLATE_LOCK,
    close_large_objects,
    ensure_group,
    ensure_ledger,
    grant_rights,
)

# A session that waits for a lock keeps all later ones waiting.
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
        name: What the command prints when it has added it.
        lacks: A query that returns whether the database lacks it.
        make: Adds it, in a transaction of its own.
    """

    name: str
    lacks: LiteralString
    make: Callable[[Connection], object]


def _track(inside: Connection) -> None:
    """Track changes by whole days, and let the next backup read everything once."""
    inside.execute(TRACKING.read_bytes())
    inside.execute("INSERT INTO change_mark (chunk, rows) VALUES (NULL, 0)")


# In the order in which they are made; new ones come last.
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

    Safe to repeat and to race.

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
    """Take the rights from the group that all portals of a server shared.

    Returns whether that had to be done. Sessions of the project go on meanwhile.
    """
    with inside.transaction():
        inside.execute("SELECT pg_advisory_xact_lock(%s)", [TEMPLATE_LOCK])
        own, shared = group_role(installation), group_of(inside)
        if own == shared:
            return False
        ensure_group(inside, installation)
        grant_rights(inside, own)
        names = {
            "own": sql.Identifier(own),
            "shared": sql.Identifier(shared),
            # A project's role has the name of its database.
            "role": sql.Identifier(inside.info.dbname),
        }
        for statement in LEAVE_GROUP:
            inside.execute(sql.SQL(statement).format(**names))
        # Only the role that granted the membership may revoke it. If that was another one, the
        # membership stays, and means nothing: the group has no rights here any more.
        with suppress(psycopg.errors.InsufficientPrivilege), inside.transaction():
            inside.execute(sql.SQL("REVOKE {shared} FROM {role}").format(**names))
    return True
