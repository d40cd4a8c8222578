"""Remove settings that no backup may hold from a database.

Versions before 1.0 stored every key that a client sent, so an analysis that was read and sent back
kept its console among its settings. Databases of those versions, and their backups, still have such
keys.
"""

from typing import Any

from psycopg import Connection, sql

from backups_portal.projectdb.catalogue import BY_NAME, TABLES, Table

SETTINGS = "settings"
WITH_SETTINGS = tuple(table for table in TABLES if SETTINGS in table.columns)


def remove_excluded_settings(connection: Connection) -> list[str]:
    """Delete excluded keys from all settings; return the tables that had some.

    Idempotent; rows without such keys are not written.
    """
    return [table.name for table in WITH_SETTINGS if _remove(connection, table)]


def _remove(connection: Connection, table: Table) -> int:
    statement = sql.SQL(
        "UPDATE {} SET settings = settings - {keys}"
        " WHERE jsonb_typeof(settings) = 'object' AND settings ?| {keys}"
    ).format(sql.Identifier(table.name), keys=_keys(table))
    return connection.execute(statement).rowcount


def without_excluded(table: str, row: dict[str, Any]) -> dict[str, object]:
    """Return a row without the excluded keys of its settings."""
    settings = row.get(SETTINGS)
    if not isinstance(settings, dict):
        return row
    excluded = BY_NAME[table].unkept_settings()
    return {**row, SETTINGS: {key: v for key, v in settings.items() if key not in excluded}}


def settings_without_excluded(table: Table) -> sql.Composed:
    """Write SQL for the column `settings` without the excluded keys."""
    return sql.SQL(
        "CASE jsonb_typeof(settings) WHEN 'object' THEN settings - {} ELSE settings END"
    ).format(_keys(table))


def _keys(table: Table) -> sql.Composed:
    keys = sql.SQL(", ").join(map(sql.Literal, sorted(table.unkept_settings())))
    return sql.SQL("ARRAY[{}]::text[]").format(keys)
