"""The resources of a snapshot as people read them: by name, with settings as labelled values.

Tokens are named by their last four characters, and values that open something are left out, also
those that somebody has put into settings.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from backups_portal.lib.json_types import JsonObject
from snapshots.engine.archive_resources import RESOURCES, Document, Rows, read_resources
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage

# By the name of their kind; devices have a page of their own.
LABELS = {
    "dashboards": ("Dashboards", "dashboard"),
    "actions": ("Actions", "action"),
    "analysis": ("Analyses", "analysis"),
    "dictionaries": ("Dictionaries", "dictionary"),
    "access_management": ("Access rules", "access_rule"),
    "run_users": ("Run users", "run_user"),
    "entities": ("Entities", "entity"),
    "networks": ("Networks", "network"),
    "connectors": ("Connectors", "connector"),
    "tokens": ("Tokens", "token"),
    "secrets": ("Secrets", "secret"),
    "run": ("Run", "run_settings"),
    "profile": ("Profile", "profile"),
}
# Settings by these names open something. TagoIO's own are not kept at all; these are of others.
OPENING = re.compile(r"secret|passw|token|api_?-?key|authorization|private_?key|credential", re.I)
HIDDEN = "not shown"
MAX_DEPTH = 8
# Of one object on a page; the download has all.
MAX_VALUES = 400


@dataclass(frozen=True)
class Kind:
    """A kind of resource, and how many the snapshot has."""

    name: str
    label: str
    count: int


@dataclass(frozen=True)
class Setting:
    """A labelled value, a moment, or what is below a label."""

    label: str
    text: str = ""
    moment: datetime | None = None
    inner: list["Setting"] = field(default_factory=list)


@dataclass(frozen=True)
class ResourceLine:
    """A resource; `is_cut` if it has more settings than are shown."""

    title: str
    id: str
    settings: list[Setting]
    is_cut: bool


def kinds_of(manifest: Manifest) -> list[Kind]:
    """List the kinds of which a snapshot has some."""
    rows = manifest.table_rows
    return [
        Kind(name, label, rows[table]) for name, (label, table) in LABELS.items() if rows.get(table)
    ]


def resource_lines(storage: Storage, manifest: Manifest, kind: str) -> list[ResourceLine]:
    """Read the resources of a kind, by name.

    Raises:
        EngineError: a segment of them is missing or damaged.
    """
    read: Callable[[Rows], Document] = _tokens if kind == "tokens" else RESOURCES[kind]
    found = read_resources(storage, manifest, read, kind)
    objects = found if isinstance(found, list) else [found] if found else []
    lines = [_line(one) for one in objects]
    return sorted(lines, key=lambda line: (line.title.casefold(), line.id))


def _tokens(rows: Rows) -> list[JsonObject]:
    devices = {row["id"]: row["name"] for row in rows("device")}
    analyses = {row["id"]: row["name"] for row in rows("analysis")}
    return [
        {
            "name": row["name"],
            "of": devices.get(row["device_id"]) or analyses.get(row["analysis_id"]),
            "ends_with": f"…{row['last_four']}" if row.get("last_four") else None,
            **{name: row.get(name) for name in ("kind", "permission", "expires_at", "created_at")},
        }
        for row in rows("token")
    ]


def _line(one: JsonObject) -> ResourceLine:
    names = (one.get(key) for key in ("label", "name", "key", "email"))
    title = next((str(name) for name in names if name), str(one.get("id", "")))
    budget = iter(range(MAX_VALUES))
    rest = {name: value for name, value in one.items() if name not in ("id", "label")}
    settings = list(_settings(rest, budget, 0))
    return ResourceLine(title, str(one.get("id", "")), settings, next(budget, None) is None)


def _settings(values: Mapping[str, object], budget: Iterator[int], depth: int) -> Iterator[Setting]:
    for name, value in values.items():
        if value in (None, "", [], {}):
            continue
        if next(budget, None) is None:
            return
        yield _setting(str(name), value, budget, depth)


def _setting(name: str, value: object, budget: Iterator[int], depth: int) -> Setting:
    label = name.replace("_", " ").capitalize() if name.islower() else name
    if OPENING.search(name) and not isinstance(value, bool | int):
        return Setting(label, HIDDEN)
    if depth >= MAX_DEPTH and isinstance(value, dict | list):
        return Setting(label, "…")
    if isinstance(value, dict):
        return Setting(label, inner=list(_settings(value, budget, depth + 1)))
    if isinstance(value, list):
        if all(isinstance(one, str | int | float | bool) for one in value):
            return Setting(label, ", ".join(_text(one) for one in value))
        named = {_item_name(one, place): one for place, one in enumerate(value, 1)}
        return Setting(label, inner=list(_settings(named, budget, depth + 1)))
    if name.endswith("_at") and (moment := _moment(value)):
        return Setting(label, moment=moment)
    return Setting(label, _text(value))


def _moment(value: object) -> datetime | None:
    """Read a moment with its zone; None if it is none."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _item_name(item: object, place: int) -> str:
    """Call an item of a list by what it calls itself; places keep equal ones apart."""
    if isinstance(item, dict):
        for key in ("label", "name", "title", "key", "code"):
            if isinstance(name := item.get(key), str) and name:
                return f"{place}. {name}"
    return f"{place}."


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return str(value)
