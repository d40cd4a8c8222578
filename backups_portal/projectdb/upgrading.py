"""Main databases that an older version made, brought up to this one's schema.

What is here only adds: a version that is still running meanwhile goes on working.
"""

from typing import Any

from psycopg import Connection

from backups_portal.projectdb.provisioning import TEMPLATE_LOCK, ensure_ledger

# What a relation is called, and what makes it.
ADDED = {"device_name": "CREATE INDEX device_name ON device (name, id)"}


def upgrade_database(inside: Connection[Any]) -> list[str]:
    """Make what is missing; returns its names. Safe to repeat and to race.

    Args:
        inside: Outside a transaction, opened by the role that made the database.
    """
    missing = [] if _has(inside, "transfer_resource") else ["the ledger of transfers"]
    ensure_ledger(inside)
    for name, statement in ADDED.items():
        with inside.transaction():
            inside.execute("SELECT pg_advisory_xact_lock(%s)", [TEMPLATE_LOCK])
            if not _has(inside, name):
                inside.execute(statement)
                missing.append(name)
    return missing


def _has(inside: Connection[Any], name: str) -> bool:
    row = inside.execute("SELECT to_regclass(%s) IS NOT NULL", [name]).fetchone()
    return bool(row and row[0])
