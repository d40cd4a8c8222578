"""Resources of both projects as plain rows: read, matched, written, compared."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from backups_portal.projectdb.catalogue import BY_NAME

Row = dict[str, Any]
# By table: the resource's own row, and those that belong to it.
Rows = dict[str, list[Row]]

# What changes without anybody editing the resource.
VOLATILE = frozenset({"last_input", "last_output", "inspected_at", "last_triggered", "last_run"})
ID = re.compile(r"\b[0-9a-f]{24}\b")
ROWS_AT_ONCE = 1_000


@dataclass(frozen=True)
class Kind:
    """How a kind of resource is kept.

    Attributes:
        name: Of its table.
        key: The column by which people know it.
        is_unique: No two have the same key.
        children: Tables of what belongs to it, with the column that names it.
    """

    name: str
    key: str = "name"
    is_unique: bool = False
    children: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """What its rows are called on a page, in the plural."""
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
        Kind("dictionary", "slug", True, (("dictionary_language", "dictionary_id"),)),
        Kind("run_user", "email", True),
        Kind("secret", "key", True),
        Kind("entity", children=(("entity_record", "entity_id"),)),
    )
}


def list_ids(connection: Connection[Any], kind: Kind) -> dict[str, str]:
    """Ids and keys of all resources of a kind; keys of unique ones in lower case."""
    query = sql.SQL("SELECT id::text, {} FROM {} ORDER BY id").format(
        sql.Identifier(kind.key), sql.Identifier(kind.name)
    )
    return {
        resource: key.lower() if kind.is_unique else key
        for resource, key in connection.execute(query)
    }


def match_resources(
    kind: Kind, sources: Mapping[str, str], targets: Mapping[str, str]
) -> dict[str, str | None]:
    """For each id of the source the id in the target, or None where it has none: by id, else key.

    A key that several have on either side matches nothing.
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


def read_rows(connection: Connection[Any], kind: Kind, resource: str) -> Rows:
    """A resource and what belongs to it; empty where there is none."""
    rows = {kind.name: _read(connection, kind.name, "id", resource)}
    for table, column in kind.children:
        rows[table] = _read(connection, table, column, resource)
    return rows


def _read(connection: Connection[Any], table: str, column: str, value: str) -> list[Row]:
    query = sql.SQL("SELECT to_jsonb(t) FROM {} t WHERE {} = %s ORDER BY t::text").format(
        sql.Identifier(table), sql.Identifier(column)
    )
    return [row for (row,) in connection.execute(query, [value])]


def write_rows(connection: Connection[Any], rows: Rows) -> None:
    """Insert rows, a table's after those that they belong to.

    Raises:
        psycopg.IntegrityError: something of the target stands in their way.
    """
    for table, items in rows.items():
        insert = sql.SQL("INSERT INTO {0} SELECT * FROM jsonb_populate_recordset(NULL::{0}, %s)")
        for first in range(0, len(items), ROWS_AT_ONCE):
            part = items[first : first + ROWS_AT_ONCE]
            connection.execute(insert.format(sql.Identifier(table)), [Jsonb(part)])


def replace_rows(connection: Connection[Any], kind: Kind, resource: str, rows: Rows) -> None:
    """Give a resource other values, and other rows that belong to it."""
    for table, column in kind.children:
        delete = sql.SQL("DELETE FROM {} WHERE {} = %s")
        connection.execute(delete.format(sql.Identifier(table), sql.Identifier(column)), [resource])
    names = sql.SQL(", ").join(map(sql.Identifier, BY_NAME[kind.name].columns))
    connection.execute(
        sql.SQL(
            "UPDATE {0} SET ({1}) = (SELECT {1} FROM jsonb_populate_record(NULL::{0}, %s))"
            " WHERE id = %s"
        ).format(sql.Identifier(kind.name), names),
        [Jsonb(rows[kind.name][0]), resource],
    )
    write_rows(connection, {table: items for table, items in rows.items() if table != kind.name})


def delete_rows(connection: Connection[Any], kind: Kind, resource: str) -> None:
    """Delete a resource and what belongs to it."""
    delete = sql.SQL("DELETE FROM {} WHERE id = %s").format(sql.Identifier(kind.name))
    connection.execute(delete, [resource])


def rename_ids(rows: Rows, ids: Mapping[str, str]) -> Rows:
    """The rows with every id that has another one in the target changed, wherever it stands."""
    if not ids:
        return rows
    text = ID.sub(lambda found: ids.get(found[0], found[0]), json.dumps(rows))
    renamed: Rows = json.loads(text)
    return renamed


def digest(rows: Rows) -> str:
    """Tells whether somebody has edited a resource; what the platform notes itself does not."""
    plain = {
        table: [{key: value for key, value in row.items() if key not in VOLATILE} for row in items]
        for table, items in rows.items()
    }
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def same_values(one: Rows, other: Rows) -> bool:
    """Whether two resources say the same, but for ids and the times at which they were kept."""
    return _plain(one) == _plain(other)


def _plain(rows: Rows) -> dict[str, list[str]]:
    skipped = VOLATILE | {"id", "created_at", "updated_at"}
    return {
        table: sorted(
            json.dumps({k: v for k, v in row.items() if k not in skipped}, sort_keys=True)
            for row in items
        )
        for table, items in rows.items()
    }
