"""Write any kind of resource by the catalogue's columns, and rows of entities."""

import uuid
from collections.abc import Mapping, Sequence

from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb.catalogue import BY_NAME
from backups_portal.projectdb.ids import new_resource_id

# Columns that a client cannot set: the portal maintains them, or dedicated services do.
READ_ONLY = frozenset(
    {
        *("id", "singleton", "created_at", "updated_at"),
        *("last_input", "last_output", "inspected_at", "last_triggered", "last_run", "last_login"),
        *("password_hash", "sealed_value", "value_length"),
    }
)


class UnknownColumnError(ValueError):
    """The kind of resource has no such column."""


def fold(table: str, body: Mapping[str, object]) -> JsonObject:
    """Turn a client's object into columns; other keys go into `settings`.

    Keys that a client cannot set, and keys that are not settings, are left out.
    """
    names = BY_NAME[table].columns
    own = set(names) - {"settings"}
    values = {key: value for key, value in body.items() if key in own - READ_ONLY}
    settings = kept_settings(
        table, {key: value for key, value in body.items() if key not in own | READ_ONLY}
    )
    return {**values, "settings": settings} if "settings" in names and settings else values


def kept_settings(table: str, settings: Mapping[str, object]) -> JsonObject:
    """Keep those of a client's keys without a column that are settings."""
    keeps = BY_NAME[table].keeps_setting
    return {key: value for key, value in settings.items() if keeps(key)}


def create(connection: Connection, table: str, **values: object) -> str:
    """Insert one resource; return its id, a new one unless given.

    Lists and objects are stored as JSON.

    Raises:
        UnknownColumnError: the table has no such column.
        psycopg.IntegrityError: a constraint refuses it.
    """
    names = _check(table, values)
    if "id" in names:
        values = {"id": new_resource_id(), **values}
    insert(connection, table, values)
    return str(values.get("id", ""))


def _check(table: str, values: Mapping[str, object]) -> tuple[str, ...]:
    names = BY_NAME[table].columns
    if unknown := sorted(values.keys() - set(names)):
        raise UnknownColumnError(f"{table} has no {', '.join(unknown)}")
    return names


def insert(connection: Connection, table: str, values: Mapping[str, object]) -> None:
    """Insert one row; the caller must have checked the names."""
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join([sql.Placeholder()] * len(values)),
    )
    connection.execute(statement, [_adapted(value) for value in values.values()])


def _adapted(value: object) -> object:
    return Jsonb(value) if isinstance(value, dict | list) else value


def edit(
    connection: Connection,
    table: str,
    resource_id: str | None,
    parent: Mapping[str, str] | None = None,
    **values: object,
) -> bool:
    """Change the given columns of one resource; False if there is none.

    Columns are replaced, except for `settings`, whose given top-level keys are.

    Args:
        resource_id: None for a table of one row.
        parent: The column and the id of the parent that the resource must have.

    Raises:
        UnknownColumnError: the table has no such column.
        psycopg.IntegrityError: a constraint refuses it.
    """
    names = _check(table, values)
    changes: list[sql.Composable] = [_change(name) for name in values]
    if "updated_at" in names:
        changes.append(sql.SQL("updated_at = now()"))
    where = {"id": resource_id, **(parent or {})} if resource_id is not None else {}
    tests = [sql.SQL("{} = %s").format(sql.Identifier(name)) for name in where]
    statement = sql.SQL("UPDATE {} SET {} WHERE {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(changes or _NO_CHANGE),
        sql.SQL(" AND ").join([sql.SQL("true"), *tests]),
    )
    parameters = [*map(_adapted, values.values()), *where.values()]
    return connection.execute(statement, parameters).rowcount > 0


# An update without changes still tells whether the resource exists.
_NO_CHANGE = (sql.SQL("id = id"),)


def _change(column: str) -> sql.Composed:
    form = "{0} = {0} || %s" if column == "settings" else "{0} = %s"
    return sql.SQL(form).format(sql.Identifier(column))


def add_rows(
    connection: Connection, *, entity_id: str, rows: Sequence[Mapping[str, object]]
) -> list[uuid.UUID]:
    """Add rows to an entity, unchecked; return their ids.

    Each gets a different creation time, so that reading them by age keeps the order of the list.

    Raises:
        psycopg.errors.ForeignKeyViolation: there is no such entity.
    """
    ids = [uuid.uuid4() for _ in rows]
    with connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO entity_record (entity_id, id, data, created_at, updated_at)
               SELECT %s, %s, %s, moment, moment FROM clock_timestamp() AS moment""",
            [(entity_id, new, Jsonb(dict(row))) for new, row in zip(ids, rows, strict=True)],
        )
    return ids
