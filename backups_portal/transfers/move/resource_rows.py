"""Read, match, write and compare resources as plain rows."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from psycopg import Connection, sql

from backups_portal.projectdb.catalogue import BY_NAME
from backups_portal.projectdb.excluded_settings import SETTINGS, settings_without_excluded
from backups_portal.projectdb.stored_json import is_too_deep


class Stored(str):
    """A value as the JSON text of the database, which Python might round."""

    __slots__ = ()


# Texts and None as they are, and all other values as Stored.
Row = dict[str, str | None]
# By table: the row of the resource, and the rows of its children.
Rows = dict[str, list[Row]]

# Columns that change without anybody editing the resource.
VOLATILE = frozenset({"last_input", "last_output", "inspected_at", "last_triggered", "last_run"})
ID = re.compile(r"\b[0-9a-f]{24}\b")
ROWS_AT_ONCE = 1_000


@dataclass(frozen=True)
class Kind:
    """How a kind of resource is stored.

    Attributes:
        name: The name of its table.
        key: The column by which people identify it.
        is_unique: Whether the key is unique; with `folds_case`, regardless of case.
        children: Tables of rows that belong to it, with the column that refers to it.
    """

    name: str
    key: str = "name"
    is_unique: bool = False
    folds_case: bool = False
    children: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """Return its name on pages, in the plural."""
        return BY_NAME[self.name].label


DEVICE = Kind("device", children=(("device_parameter", "device_id"),))
BY_KIND = {
    kind.name: kind
    for kind in (
        DEVICE,
        Kind("network"),
        Kind("connector"),
        Kind("dashboard", "label", children=(("widget", "dashboard_id"),)),
        Kind("action"),
        Kind("analysis"),
        Kind("access_rule"),
        Kind(
            *("dictionary", "slug"),
            is_unique=True,
            children=(("dictionary_language", "dictionary_id"),),
        ),
        Kind("run_user", "email", is_unique=True, folds_case=True),
        Kind("secret", "key", is_unique=True),
        Kind("entity", children=(("entity_record", "entity_id"),)),
    )
}


def list_ids(connection: Connection, kind: Kind) -> dict[str, str]:
    """List the ids of a kind, with keys in the form the database compares."""
    key = sql.Identifier(kind.key)
    query = sql.SQL("SELECT id::text, {} FROM {} ORDER BY id").format(
        sql.SQL("lower({})").format(key) if kind.folds_case else key, sql.Identifier(kind.name)
    )
    return dict(connection.execute(query).fetchall())


def match_resources(
    kind: Kind, sources: Mapping[str, str], targets: Mapping[str, str]
) -> dict[str, str | None]:
    """Match each id of the source to one in the target, by id or else by key.

    An ambiguous key, on either side, matches nothing.
    """
    by_key: dict[str, list[str]] = {}
    for resource, key in targets.items():
        if resource not in sources:
            by_key.setdefault(key, []).append(resource)
    free = [key for resource, key in sources.items() if resource not in targets]
    matches: dict[str, str | None] = {}
    for resource, key in sources.items():
        fitting = by_key.get(key, [])
        is_clear = len(fitting) == 1 and free.count(key) == 1
        matches[resource] = resource if resource in targets else fitting[0] if is_clear else None
    return matches


def read_rows(connection: Connection, kind: Kind, resource: str) -> Rows:
    """Read a resource and its children; empty lists if it does not exist."""
    rows = {kind.name: _read(connection, kind.name, "id", resource)}
    for table, column in kind.children:
        rows[table] = _read(connection, table, column, resource)
    return rows


def read_replaced(connection: Connection, transfer: str, kind: Kind, resource: str) -> Rows | None:
    """Read from the ledger what a transfer replaced; None if it created it."""
    place = [transfer, kind.name, resource]
    rows = {}
    for table in (kind.name, *(table for table, _ in kind.children)):
        query = sql.SQL(
            """SELECT {} FROM transfer_resource,
                   jsonb_array_elements(replaced -> %s::text) WITH ORDINALITY AS kept (whole, place)
               WHERE (transfer_id, kind, id) = (%s, %s, %s) ORDER BY place"""
        ).format(_values(table, sql.SQL("whole")))
        rows[table] = list(_rows(connection, query, [table, *place]))
    return rows if rows[kind.name] else None


def _read(connection: Connection, table: str, column: str, value: str) -> list[Row]:
    query = sql.SQL("SELECT {} FROM {} t WHERE {} = %s ORDER BY t::text").format(
        _values(table, sql.SQL("to_jsonb(t)")), sql.Identifier(table), sql.Identifier(column)
    )
    return list(_rows(connection, query, [value]))


def _values(table: str, row: sql.SQL) -> sql.Composed:
    """Select the JSON text of each value of a row, without excluded settings."""
    return sql.SQL(
        """(SELECT jsonb_object_agg(
                name, (CASE name WHEN 'settings' THEN {} ELSE settings END)::text
            ) FROM jsonb_each({}) AS of_row (name, settings))"""
    ).format(settings_without_excluded(BY_NAME[table]), row)


def _rows(connection: Connection, query: sql.Composed, values: list[str]) -> Iterator[Row]:
    for (texts,) in connection.execute(query, values):
        yield {
            name: json.loads(text) if text == "null" or text.startswith('"') else Stored(text)
            for name, text in texts.items()
        }


def as_json(rows: Rows | list[Row] | Row) -> str:
    """Serialize rows as JSON with every value as the database wrote it."""
    options = orjson.OPT_PASSTHROUGH_SUBCLASS
    return orjson.dumps(
        rows, default=lambda one: orjson.Fragment(str(one)), option=options
    ).decode()


def write_rows(connection: Connection, rows: Rows) -> None:
    """Insert rows, parents before their children.

    Raises:
        psycopg.IntegrityError: they conflict with rows of the target.
    """
    for table, items in rows.items():
        names, values = _columns(table)
        insert = sql.SQL(
            "INSERT INTO {0} ({1}) SELECT {2} FROM jsonb_populate_recordset(NULL::{0}, %s::jsonb)"
        ).format(sql.Identifier(table), names, values)
        for first in range(0, len(items), ROWS_AT_ONCE):
            connection.execute(insert, [as_json(items[first : first + ROWS_AT_ONCE])])


def _columns(table: str) -> tuple[sql.Composed, sql.Composed]:
    """Return the columns of a table, and expressions for the values of a row."""
    comma = sql.SQL(", ")
    columns = BY_NAME[table].columns
    values = (
        settings_without_excluded(BY_NAME[table]) if name == SETTINGS else sql.Identifier(name)
        for name in columns
    )
    return comma.join(map(sql.Identifier, columns)), comma.join(values)


def replace_rows(connection: Connection, kind: Kind, resource: str, rows: Rows) -> None:
    """Replace the values of a resource, and its children."""
    for table, column in kind.children:
        delete = sql.SQL("DELETE FROM {} WHERE {} = %s")
        connection.execute(delete.format(sql.Identifier(table), sql.Identifier(column)), [resource])
    names, values = _columns(kind.name)
    connection.execute(
        sql.SQL(
            "UPDATE {0} SET ({1}) = (SELECT {2} FROM jsonb_populate_record(NULL::{0}, %s::jsonb))"
            " WHERE id = %s"
        ).format(sql.Identifier(kind.name), names, values),
        [as_json(rows[kind.name][0]), resource],
    )
    write_rows(connection, {table: items for table, items in rows.items() if table != kind.name})


def delete_rows(connection: Connection, kind: Kind, resource: str) -> None:
    """Delete a resource with its children."""
    delete = sql.SQL("DELETE FROM {} WHERE id = %s").format(sql.Identifier(kind.name))
    connection.execute(delete, [resource])


def rename_ids(rows: Rows, ids: Mapping[str, str]) -> Rows:
    """Replace every id that differs in the target, wherever it occurs."""

    def renamed(value: str | None) -> str | None:
        changed = value and renamed_text(value, ids)
        return Stored(changed) if changed and isinstance(value, Stored) else changed

    return {
        table: [{name: renamed(value) for name, value in row.items()} for row in items]
        for table, items in rows.items()
    }


def renamed_text(text: str, ids: Mapping[str, str]) -> str:
    """Replace every id in a text that has another one in the target."""
    return ID.sub(lambda found: ids.get(found[0], found[0]), text)


def digest(rows: Rows) -> str:
    """Digest the editable values of a resource, without volatile columns."""
    plain = {
        table: [
            {name: _parsed(value) for name, value in row.items() if name not in VOLATILE}
            for row in items
        ]
        for table, items in rows.items()
    }
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _parsed(value: str | None) -> Any:
    """Parse a value as older ledgers digested it; its text if Python cannot."""
    try:
        parsed = json.loads(value) if isinstance(value, Stored) else value
    except (ValueError, RecursionError):
        return value
    return value if is_too_deep(parsed) else parsed


def same_values(one: Rows, other: Rows) -> bool:
    """Tell whether two resources are the same except for ids and times."""
    return _plain(one) == _plain(other)


def _plain(rows: Rows) -> dict[str, list[str]]:
    skipped = VOLATILE | {"id", "created_at", "updated_at"}
    return {
        table: sorted(
            as_json([{k: v for k, v in sorted(row.items()) if k not in skipped}]) for row in items
        )
        for table, items in rows.items()
    }
