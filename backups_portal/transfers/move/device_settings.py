"""Read and compare tags and configuration parameters of devices, and list what changes.

A key of the source is brought back with all of its values. A key that only the target has stays:
it was added since the backup, and nobody has lost it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from psycopg import Connection

from backups_portal.lib.json_types import JsonObject
from backups_portal.transfers.move.device_map import Match
from backups_portal.transfers.move.resource_rows import renamed_text
from snapshots.reports.resource_lines import HIDDEN, OPENING, names_a_secret

# The kind of their rows in the ledger.
KIND = "device_settings"
# Devices per query and per transaction.
TOGETHER = 200
# Limits of what pages and reports list; the rest is only counted.
MAX_LISTED = 200
MAX_CHANGES = 20
MAX_TEXT = 80
# The tags of a device as rows; none if the column holds something else than a list.
EACH_TAG = "jsonb_array_elements(CASE jsonb_typeof(tags) WHEN 'array' THEN tags ELSE '[]' END)"


@dataclass(frozen=True)
class Entry:
    """A tag or a parameter.

    Attributes:
        stored: The value that is compared and written: a parameter's value, or a tag's JSON as
            the database wrote it, since Python might round numbers.
        text: The value for people.
        id: The id of a parameter.
    """

    key: str
    stored: str
    text: str
    id: str = ""


@dataclass(frozen=True)
class Settings:
    """The tags and parameters of a device, in order."""

    tags: list[Entry] = field(default_factory=list)
    parameters: list[Entry] = field(default_factory=list)


@dataclass(frozen=True)
class SettingsChanges:
    """The changes of the settings of all devices.

    Attributes:
        devices: The number of devices that change.
        lines: The changes of the first ones, as plain values.
        different: The number of devices in which the sides differ after the move.
    """

    devices: int = 0
    lines: tuple[JsonObject, ...] = ()
    different: int = 0

    @classmethod
    def from_json(cls, values: JsonObject | None) -> "SettingsChanges | None":
        """Read plain values; plans of older versions have none."""
        return cls(**{**values, "lines": tuple(values["lines"])}) if values else None


# The entries of the columns `tags` and `parameters`, each as the fields of Entry.
ENTRIES = f"""coalesce((SELECT jsonb_agg(jsonb_build_array(
            coalesce(tag ->> 'key', ''), tag::text, coalesce(tag ->> 'value', '')) ORDER BY place)
        FROM {EACH_TAG} WITH ORDINALITY AS each_one (tag, place)), '[]'),
    coalesce((SELECT jsonb_agg(jsonb_build_array(
            one ->> 'key', one ->> 'value', one ->> 'value', one ->> 'id') ORDER BY one ->> 'id')
        FROM jsonb_array_elements(parameters) AS each_one (one)), '[]')"""  # noqa: S608 - constants
READ = f"""SELECT id::text, {ENTRIES} FROM (
    SELECT id, tags, (SELECT jsonb_agg(to_jsonb(own)) FROM device_parameter AS own
        WHERE device_id = device.id) AS parameters
    FROM device WHERE id = ANY(%s)) AS found"""  # noqa: S608 - a constant
READ_REPLACED = f"""SELECT id::text, source_id::text, keys, {ENTRIES} FROM (
    SELECT id, source_id, replaced -> 'keys' AS keys, replaced -> 'tags' AS tags,
        replaced -> 'parameters' AS parameters
    FROM transfer_resource WHERE (transfer_id, kind) = (%s, %s) ORDER BY id LIMIT %s
    ) AS found"""  # noqa: S608 - a constant


def read_settings(connection: Connection, ids: Sequence[str]) -> dict[str, Settings]:
    """Read the settings of devices; those that do not exist are left out."""
    rows = connection.execute(READ.encode(), [list(ids)])
    return {device: _settings(tags, parameters) for device, tags, parameters in rows}


def _settings(tags: list[list[str]], parameters: list[list[str]]) -> Settings:
    return Settings([Entry(*one) for one in tags], [Entry(*one) for one in parameters])


def read_sought(
    source: Connection, ids: Sequence[str], other_ids: Mapping[str, str]
) -> dict[str, Settings]:
    """Read the settings that devices of the target should have.

    Returns:
        The settings by the device's id in the source.

    Args:
        other_ids: The target's ids of devices that have another one there; settings get these.
    """

    def named(entries: list[Entry]) -> list[Entry]:
        return [
            replace(
                one,
                key=renamed_text(one.key, other_ids),
                stored=renamed_text(one.stored, other_ids),
                text=renamed_text(one.text, other_ids),
            )
            for one in entries
        ]

    found = read_settings(source, ids)
    if not other_ids:
        return found
    return {
        device: Settings(named(one.tags), named(one.parameters)) for device, one in found.items()
    }


def by_key(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Group entries by their keys, which may repeat."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.key, []).append(entry)
    return groups


def changed_keys(sought: Sequence[Entry], there: Sequence[Entry]) -> list[str]:
    """List the keys whose values differ in the target, not just in order."""
    known = by_key(there)
    return [
        key
        for key, entries in by_key(sought).items()
        if sorted(one.stored for one in entries) != sorted(one.stored for one in known.get(key, []))
    ]


def find_changes(
    source: Connection, target: Connection, matches: Sequence[Match], other_ids: Mapping[str, str]
) -> SettingsChanges:
    """Find the settings in which the target differs from the source."""
    devices = 0
    lines: list[JsonObject] = []
    for first in range(0, len(matches), TOGETHER):
        batch = matches[first : first + TOGETHER]
        sought = read_sought(source, [one.source for one in batch], other_ids)
        there = read_settings(target, [one.target for one in batch if one.target])
        for match in batch:
            found = there.get(match.target or "")
            changes = found and _changes(sought.get(match.source, Settings()), found)
            devices += bool(changes)
            if changes and len(lines) < MAX_LISTED:
                lines.append(_line(match, changes))
    return SettingsChanges(devices, tuple(lines))


def read_changes(
    source: Connection,
    target: Connection,
    transfer: str,
    matches: Sequence[Match],
    other_ids: Mapping[str, str],
) -> SettingsChanges:
    """Read from the ledger which settings a transfer has changed."""
    count = target.execute(
        "SELECT count(*) FROM transfer_resource WHERE (transfer_id, kind) = (%s, %s)",
        [transfer, KIND],
    ).fetchone()
    rows = target.execute(READ_REPLACED.encode(), [transfer, KIND, MAX_LISTED]).fetchall()
    sought = read_sought(source, [row[1] for row in rows], other_ids)
    named, lines = {match.target: match for match in matches}, []
    for device, known_as, keys, tags, parameters in rows:
        new, old = sought.get(known_as, Settings()), _settings(tags, parameters)
        new = Settings(new.tags, [one for one in new.parameters if one.key in keys])
        if device in named:
            lines.append(_line(named[device], _changes(new, old)))
    return SettingsChanges(count[0] if count else 0, tuple(lines))


def _changes(sought: Settings, there: Settings) -> list[JsonObject]:
    return [
        {
            "what": what,
            "key": _cut(key),
            "before": _texts(key, old, new),
            "after": _texts(key, new, old),
            "before_total": _count(key, old),
            "after_total": _count(key, new),
        }
        for what, new, old in (
            ("tag", sought.tags, there.tags),
            ("parameter", sought.parameters, there.parameters),
        )
        for key in changed_keys(new, old)
    ]


def _texts(key: str, entries: Sequence[Entry], others: Sequence[Entry]) -> list[str]:
    """Return the values of a key as a look inside a backup shows them.

    If there are too many to list, those that the other side lacks come first.
    """
    texts = [one.text for one in entries if one.key == key]
    if OPENING.search(key):
        return [HIDDEN] * bool(texts)
    if len(texts) > MAX_CHANGES:
        known = {one.text for one in others if one.key == key}
        texts.sort(key=known.__contains__)
    return [_shown(text) for text in texts[:MAX_CHANGES]]


def _count(key: str, entries: Sequence[Entry]) -> int:
    """Count the values of a key; those of a secret are shown as one."""
    number = sum(one.key == key for one in entries)
    return min(number, 1) if OPENING.search(key) else number


def _shown(text: str) -> str:
    return HIDDEN if names_a_secret(text) else _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _line(match: Match, changes: list[JsonObject]) -> JsonObject:
    return {
        "source": match.source,
        "target": match.target,
        "name": match.name,
        "changes": changes[:MAX_CHANGES],
        "more": max(0, len(changes) - MAX_CHANGES),
    }
