"""Write the resources of a snapshot as the JSON of a TagoIO backup.

A TagoIO backup has one `resources/<kind>.json` per kind: a list of API objects, or a single object
for the profile and for Run. The portal's columns and `settings` become one object there.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

import orjson
import pyarrow as pa

from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb.excluded_settings import without_excluded
from backups_portal.projectdb.stored_json import load_json
from snapshots.engine.errors import DamagedSnapshotError
from snapshots.engine.manifest import Manifest
from snapshots.engine.pg_timestamps import moments_as_text
from snapshots.engine.segments import read_segment
from snapshots.engine.storage import Storage

Row = JsonObject
Rows = Callable[[str], list[Row]]
Document = Row | list[Row] | None

# Columns that are read as JSON text.
JSON_COLUMNS = frozenset(
    {
        *("tags", "settings", "arrangement", "tabs", "variables", "permissions", "targets"),
        *("texts", "schema", "index"),
    }
)
RENAMED = {"network_id": "network", "connector_id": "connector", "dashboard_id": "dashboard"}
# Only this installation can open sealed values, and nobody may read hashes.
LEFT_OUT = frozenset({"singleton", "password_hash", "sealed_value"})
# Clients expect these in a profile; the portal has no allocations.
ALLOCATION = (
    *("analysis", "data_records", "sms", "email", "run_users"),
    *("push_notification", "file_storage"),
)


def resource_file(
    storage: Storage, manifest: Manifest, name: str, *, profile_id: str
) -> bytes | None:
    """Write the JSON of one kind of resource; None if the snapshot has none.

    Raises:
        EngineError: one of its segments is missing or damaged.
    """
    document = read_resources(storage, manifest, RESOURCES[name], name)
    if document is None:
        return None
    if isinstance(document, dict) and name == "profile":
        document = {"id": profile_id, **document}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def read_resources(
    storage: Storage, manifest: Manifest, read: Callable[[Rows], Document], name: str
) -> Document:
    """Return what `read` makes of tables' rows; raises as `resource_file`."""

    def rows(table: str) -> list[Row]:
        return list(_rows(storage, manifest, table))

    try:
        return read(rows)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedSnapshotError(
            f"A part of this backup ({name}) does not have the rows of such resources."
        ) from error


def _rows(storage: Storage, manifest: Manifest, table: str) -> Iterator[Row]:
    for segment in manifest.of(table):
        rows = read_segment(storage, segment)
        moments = {field.name for field in rows.schema if pa.types.is_timestamp(field.type)}
        for row in moments_as_text(rows).to_pylist():
            shown = {name: _value(name, value, name in moments) for name, value in row.items()}
            yield without_excluded(table, shown)


def _value(name: str, value: object, is_moment: bool) -> object:
    if is_moment and isinstance(value, str):
        return _iso(value)
    if name in JSON_COLUMNS and isinstance(value, str):
        return load_json(value)
    return value


def _iso(text: str) -> str:
    """Write a moment in the API's format; leave any other text as it is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def api_object(row: Row) -> Row:
    """Turn a row into the API's object, with its `settings` merged in as keys."""
    columns = {
        RENAMED.get(name, name): value
        for name, value in row.items()
        if name not in LEFT_OUT and name != "settings" and not isinstance(value, bytes)
    }
    return {**(row.get("settings") or {}), **columns}


def _plain(table: str) -> Callable[[Rows], list[Row]]:
    return lambda rows: [api_object(row) for row in rows(table)]


def _grouped(rows: Iterable[Row], by: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[by], []).append(row)
    return groups


def _devices(rows: Rows) -> list[Row]:
    parameters = _grouped(rows("device_parameter"), "device_id")
    return [
        {
            **api_object(row),
            "params": [
                {key: item[key] for key in ("id", "key", "value", "sent")}
                for item in parameters.get(row["id"], [])
            ],
            # The field that creation reads, for example in the CLI's `backup restore`.
            "configuration_params": [
                {key: item[key] for key in ("key", "value", "sent")}
                for item in parameters.get(row["id"], [])
            ],
        }
        for row in rows("device")
    ]


def _dashboards(rows: Rows) -> list[Row]:
    widgets = _grouped(rows("widget"), "dashboard_id")
    return [
        {
            **api_object(row),
            "widgets": [api_object(widget) for widget in widgets.get(row["id"], [])],
        }
        for row in rows("dashboard")
    ]


def _dictionaries(rows: Rows) -> list[Row]:
    languages = _grouped(rows("dictionary_language"), "dictionary_id")
    return [
        {
            **api_object(row),
            "languages": [
                {
                    "dictionary": row["id"],
                    "code": item["code"],
                    "data": item["texts"],
                    "active": item["active"],
                }
                for item in languages.get(row["id"], [])
            ],
        }
        for row in rows("dictionary")
    ]


def _secrets(rows: Rows) -> list[Row]:
    return [{**api_object(row), "value": None} for row in rows("secret")]


def _profile(rows: Rows) -> Row | None:
    found = [api_object(row) for row in rows("profile")]
    allocation = dict.fromkeys(ALLOCATION, 0)
    return {**found[0], "account": None, "resource_allocation": allocation} if found else None


def _run(rows: Rows) -> Row | None:
    found = [api_object(row) for row in rows("run_settings")]
    return found[0] if found else None


# By file name.
RESOURCES: dict[str, Callable[[Rows], Document]] = {
    "access_management": _plain("access_rule"),
    "actions": _plain("action"),
    "analysis": _plain("analysis"),
    "connectors": _plain("connector"),
    "dashboards": _dashboards,
    "devices": _devices,
    "dictionaries": _dictionaries,
    "entities": _plain("entity"),
    "networks": _plain("network"),
    "profile": _profile,
    "run": _run,
    "run_users": _plain("run_user"),
    "secrets": _secrets,
}
