"""The resources of a snapshot for people: names, and labelled settings.

Tokens are identified by their last four characters. Values that give access are left out, including
those that users have put into settings.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import count

from backups_portal.lib.json_types import JsonObject
from snapshots.engine.archive_resources import RESOURCES, Document, Rows, api_object, read_resources
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage

# Label and table by the name of the kind; devices' records have a separate page.
LABELS = {
    "dashboards": ("Dashboards", "dashboard"),
    "devices": ("Device settings", "device"),
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
# The kind that shows the rows of a table.
SHOWN_AS = {
    **{table: kind for kind, (_, table) in LABELS.items()},
    "device_parameter": "devices",
    "widget": "dashboards",
    "dictionary_language": "dictionaries",
}
# Settings with these names give access. TagoIO's own are not backed up at all; users add others.
OPENING = re.compile(
    r"secret|passw|passphrase|pwd|token|authorization|credential"
    r"|(api|app|access|private)[ _-]{0,2}s?[ _-]?key",
    re.I,
)
HIDDEN = "not shown"
MAX_DEPTH = 8
# Values of one object that a page shows; the download has all.
MAX_VALUES = 400


@dataclass(frozen=True)
class Kind:
    """A kind of resource, and how many of it the snapshot has."""

    name: str
    label: str
    count: int


@dataclass(frozen=True)
class Setting:
    """A label with a text, a moment or nested settings."""

    label: str
    text: str = ""
    moment: datetime | None = None
    inner: list["Setting"] = field(default_factory=list)


@dataclass(frozen=True)
class ResourceLine:
    """A resource; settings are formatted only if shown: 10,000 take 1.5 s."""

    title: str
    id: str
    values: JsonObject

    @property
    def settings(self) -> list[Setting]:
        """Return the settings to show."""
        return self._shown[0]

    @property
    def is_cut(self) -> bool:
        """Tell whether it has more settings than are shown."""
        return self._shown[1]

    @cached_property
    def _shown(self) -> tuple[list[Setting], bool]:
        budget = count()
        settings = list(_settings(self.values, budget, 0))
        return settings, next(budget) > MAX_VALUES


def kinds_of(manifest: Manifest) -> list[Kind]:
    """List the kinds that a snapshot has rows of."""
    rows = manifest.table_rows
    return [
        Kind(name, label, rows[table]) for name, (label, table) in LABELS.items() if rows.get(table)
    ]


def resource_lines(storage: Storage, manifest: Manifest, kind: str) -> list[ResourceLine]:
    """Read the resources of a kind, sorted by name.

    Raises:
        EngineError: one of their segments is missing or damaged.
    """
    ours: dict[str, Callable[[Rows], Document]] = {"tokens": _tokens, "devices": _devices}
    read = ours.get(kind) or RESOURCES[kind]
    found = read_resources(storage, manifest, read, kind)
    objects = found if isinstance(found, list) else [found] if found else []
    lines = [_line(one) for one in objects]
    return sorted(lines, key=lambda line: (line.title.casefold(), line.id))


def _devices(rows: Rows) -> list[JsonObject]:
    parameters: dict[str, list[JsonObject]] = {}
    for row in rows("device_parameter"):
        parameter = {"key": row["key"], "value": row["value"]}
        parameters.setdefault(row["device_id"], []).append(parameter)
    return [
        {**api_object(row), "configuration_parameters": parameters.get(row["id"])}
        for row in rows("device")
    ]


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
    rest = {name: value for name, value in one.items() if name not in ("id", "label")}
    return ResourceLine(title, str(one.get("id", "")), rest)


def _words(name: str) -> str:
    """Write the name of a column or setting as words."""
    return name.replace("_", " ").capitalize() if name.islower() else name


def _settings(
    values: Mapping[str, object],
    budget: Iterator[int],
    depth: int,
    labelled: Callable[[str], str] = _words,
) -> Iterator[Setting]:
    for name, value in values.items():
        if value in (None, "", [], {}):
            continue
        if next(budget) >= MAX_VALUES:
            return
        yield _setting(str(name), labelled(str(name)), value, budget, depth)


def _setting(name: str, label: str, value: object, budget: Iterator[int], depth: int) -> Setting:
    if OPENING.search(name) and not isinstance(value, bool | int):
        return Setting(label, HIDDEN)
    if depth >= MAX_DEPTH and isinstance(value, dict | list):
        return Setting(label, "…")
    if isinstance(value, dict):
        return Setting(label, inner=list(_settings(value, budget, depth + 1)))
    if isinstance(value, list):
        if all(isinstance(one, str | int | float | bool) for one in value):
            return Setting(label, ", ".join(_text(one) for one in value))
        return Setting(label, inner=_items(value, budget, depth + 1))
    if (name.endswith("_at") or name.startswith("last_")) and (moment := _moment(value)):
        return Setting(label, moment=moment)
    return Setting(label, HIDDEN if names_a_secret(value) else _text(value))


def names_a_secret(value: object) -> bool:
    """Tell whether a text is JSON in which something has the name of a secret."""
    return (
        isinstance(value, str) and value.lstrip()[:1] in ("{", "[") and bool(OPENING.search(value))
    )


def _items(items: list[object], budget: Iterator[int], depth: int) -> list[Setting]:
    if pairs := _pairs(items):
        # Keys were chosen by the owner, so they are not reworded.
        return list(_settings(pairs, budget, depth, str))
    named = {_item_name(one, place): one for place, one in enumerate(items, 1)}
    return list(_settings(named, budget, depth))


def _pairs(items: list[object]) -> JsonObject:
    """Return items such as tags by key; {} for other lists or repeated keys."""
    pairs: JsonObject = {
        one["key"]: one["value"]
        for one in items
        if isinstance(one, dict) and one.keys() == {"key", "value"} and isinstance(one["key"], str)
    }
    return pairs if len(pairs) == len(items) else {}


def _moment(value: object) -> datetime | None:
    """Read a moment with a time zone; None if the value is none."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _item_name(item: object, place: int) -> str:
    """Name an item by its own label; the position keeps equal ones apart."""
    if isinstance(item, dict):
        for key in ("label", "name", "title", "key", "code"):
            if isinstance(name := item.get(key), str) and name:
                return f"{place}. {name}"
    return f"{place}."


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return str(value)
