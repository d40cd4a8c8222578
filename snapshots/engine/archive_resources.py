"""The resources of a snapshot as JSON, as the files of a TagoIO backup have them.

A TagoIO backup holds `resources/<kind>.json` with a list of objects of the API, and one object for
the profile and for Run. What the portal keeps in columns and in `settings` is one object there.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq

from snapshots.engine.manifest import Manifest
from snapshots.engine.segments import read_bytes
from snapshots.engine.storage import Storage

Row = dict[str, Any]
Rows = Callable[[str], list[Row]]

# Columns that come as JSON text.
JSON_COLUMNS = frozenset(
    {
        *("tags", "settings", "arrangement", "tabs", "variables", "permissions", "targets"),
        *("texts", "schema", "index"),
    }
)
RENAMED = {"network_id": "network", "connector_id": "connector", "dashboard_id": "dashboard"}
# Sealed values open in this installation alone, and hashes are nobody's to read.
LEFT_OUT = frozenset({"singleton", "password_hash", "sealed_value"})
# What the clients expect to find in a profile; the portal allots nothing.
ALLOCATION = (
    *("analysis", "data_records", "sms", "email", "run_users"),
    *("push_notification", "file_storage"),
)


def resource_file(
    storage: Storage, manifest: Manifest, name: str, *, profile_id: str
) -> bytes | None:
    """The JSON of one kind of resource; None where the snapshot has no such object.

    Raises:
        EngineError: a segment of it is missing or damaged.
    """

    def rows(table: str) -> list[Row]:
        return list(_rows(storage, manifest, table))

    document = RESOURCES[name](rows)
    if document is None:
        return None
    if name == "profile":
        document = {"id": profile_id, **document}
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def _rows(storage: Storage, manifest: Manifest, table: str) -> Iterator[Row]:
    for segment in manifest.of(table):
        content = read_bytes(storage, segment)
        for row in pq.read_table(io.BytesIO(content), use_threads=False).to_pylist():
            yield {name: _value(name, value) for name, value in row.items()}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if name in JSON_COLUMNS and isinstance(value, str):
        return json.loads(value)
    return value


def _object(row: Mapping[str, Any]) -> Row:
    """A row as the API's object: `settings` are keys beside the others."""
    columns = {
        RENAMED.get(name, name): value
        for name, value in row.items()
        if name not in LEFT_OUT and name != "settings" and not isinstance(value, bytes)
    }
    return {**(row.get("settings") or {}), **columns}


def _plain(table: str) -> Callable[[Rows], list[Row]]:
    return lambda rows: [_object(row) for row in rows(table)]


def _grouped(rows: Iterable[Row], by: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[by], []).append(row)
    return groups


def _devices(rows: Rows) -> list[Row]:
    parameters = _grouped(rows("device_parameter"), "device_id")
    return [
        {
            **_object(row),
            "params": [
                {key: item[key] for key in ("id", "key", "value", "sent")}
                for item in parameters.get(row["id"], [])
            ],
        }
        for row in rows("device")
    ]


def _dashboards(rows: Rows) -> list[Row]:
    widgets = _grouped(rows("widget"), "dashboard_id")
    return [
        {**_object(row), "widgets": [_object(widget) for widget in widgets.get(row["id"], [])]}
        for row in rows("dashboard")
    ]


def _dictionaries(rows: Rows) -> list[Row]:
    languages = _grouped(rows("dictionary_language"), "dictionary_id")
    return [
        {
            **_object(row),
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
    return [{**_object(row), "value": None} for row in rows("secret")]


def _profile(rows: Rows) -> Row | None:
    found = [_object(row) for row in rows("profile")]
    allocation = dict.fromkeys(ALLOCATION, 0)
    return {**found[0], "account": None, "resource_allocation": allocation} if found else None


def _run(rows: Rows) -> Row | None:
    found = [_object(row) for row in rows("run_settings")]
    return found[0] if found else None


# By the name of the file.
RESOURCES: dict[str, Callable[[Rows], Any]] = {
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
