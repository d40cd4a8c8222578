"""Change and delete data records of a device."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from psycopg import Connection

from backups_portal.projectdb.ids import variable_number
from backups_portal.projectdb.record_filter import Selection, Series, Window, find
from backups_portal.projectdb.record_reader import Device, by_variable, find_device
from backups_portal.projectdb.record_writer import MAX_RECORDS, ensure_series, lock_device
from backups_portal.projectdb.records import Record, RecordError, parse_record

EDITABLE = ("value", "unit", "group", "time", "location", "metadata")
CLEARABLE = ("value", "unit", "location", "metadata")
PLACE = "series_id, time, id"
# Fields for which an edit passes a flag if it names them: null may be their new value.
FLAGGED = ("time", "value", "location", "metadata")
UPDATE = """
    UPDATE variable
    SET series_id = new.series_id,
        time = CASE WHEN has_time THEN new.time ELSE variable.time END,
        number_value = CASE WHEN has_value THEN new.number_value ELSE variable.number_value END,
        text_value = CASE WHEN has_value THEN new.text_value ELSE variable.text_value END,
        group_key = new.group_key,
        location = CASE WHEN has_location THEN point(new.longitude, new.latitude)
                        ELSE variable.location END,
        metadata = CASE WHEN has_metadata THEN new.metadata ELSE variable.metadata END
    FROM unnest(%s::bigint[], %s::integer[], %s::timestamptz[], %s::float8[], %s::text[],
                %s::text[], %s::float8[], %s::float8[], %s::json[],
                %s::boolean[], %s::boolean[], %s::boolean[], %s::boolean[])
         AS new (id, series_id, time, number_value, text_value, group_key, longitude, latitude,
                 metadata, has_time, has_value, has_location, has_metadata)
    WHERE variable.id = new.id AND variable.series_id = ANY(%s)"""


def edit_records(
    connection: Connection, device: Device, items: Sequence[Mapping[str, object]]
) -> int:
    """Change the fields of records that items name; return how many changed.

    Args:
        device: The device; its series are looked up again, because other edits may add some.
        items: {id, value?, unit?, group?, time?, location?, metadata?} each. All are changed, or
            none.

    Raises:
        RecordError: an item is not a record, or names a value that cannot be stored.
        UnknownDeviceError: the device was deleted.
    """
    changes = _by_number(items, device.prefix)
    with connection.transaction():
        # The lock waits for other edits of the same device, so that none of them is lost.
        lock_device(connection, device.id)
        device = find_device(connection, device.id, prefix=device.prefix)
        edits = [
            _edit(place, *changes[place.number]) for place in _places(connection, device, changes)
        ]
        series = ensure_series(connection, device.id, {edit.key for edit in edits}) if edits else {}
        _update(connection, device, [(series[edit.key], edit) for edit in edits])
    return len(edits)


def _by_number(
    items: Sequence[Mapping[str, object]], prefix: str
) -> dict[int, tuple[int, Mapping[str, object]]]:
    if len(items) > MAX_RECORDS:
        raise RecordError(f"a request holds at most {MAX_RECORDS} records")
    changes = {}
    for position, item in enumerate(items):
        known_as = item.get("id") if isinstance(item, Mapping) else None
        if not isinstance(known_as, str):
            raise RecordError("a record must be an object with an id", index=position)
        number = variable_number(prefix, known_as)
        if number is not None and number < 2**63:
            changes[number] = (position, item)
    return changes


class _Place(NamedTuple):
    """A stored record: its number, its group and its series."""

    number: int
    group: str
    series: Series


class _Edit(NamedTuple):
    """An edit of a stored record: the fields that are named, and their values."""

    number: int
    key: tuple[str, str, str | None]
    named: frozenset[str]
    record: Record


def _places(connection: Connection, device: Device, numbers: Iterable[int]) -> list[_Place]:
    by_id = {item.id: item for item in device.series}
    rows = connection.execute(
        "SELECT id, group_key, series_id FROM variable WHERE series_id = ANY(%s) AND id = ANY(%s)",
        [list(by_id), list(numbers)],
    ).fetchall()
    return [_Place(number, group, by_id[series_id]) for number, group, series_id in rows]


def _edit(place: _Place, position: int, item: Mapping[str, object]) -> _Edit:
    if "serie" in item and "group" not in item:
        item = {**item, "group": item["serie"]}
    # A record always has a time and a group; null clears the other fields.
    named = {
        name: item[name]
        for name in EDITABLE
        if name in item and (item[name] is not None or name in CLEARABLE)
    }
    series = place.series
    try:
        record = parse_record(
            {**named, "variable": "any"}, now=datetime.now(UTC), group=place.group
        )
    except RecordError as error:
        raise RecordError(error.reason, index=position) from error
    kind = record.type if "value" in named else series.type
    unit = record.unit if "unit" in named else series.unit
    return _Edit(place.number, (series.variable, kind, unit), frozenset(named), record)


def _update(connection: Connection, device: Device, edits: Sequence[tuple[int, _Edit]]) -> None:
    """Write the named fields; the others stay the same, byte for byte."""
    records = [edit.record for _, edit in edits]
    connection.execute(
        UPDATE,
        [
            [edit.number for _, edit in edits],
            [series for series, _ in edits],
            [record.time for record in records],
            [record.number for record in records],
            [record.text for record in records],
            [record.group for record in records],
            [record.location and record.location[0] for record in records],
            [record.location and record.location[1] for record in records],
            [record.metadata for record in records],
            *([name in edit.named for _, edit in edits] for name in FLAGGED),
            [item.id for item in device.series],
        ],
    )


def delete_records(
    connection: Connection,
    device: Device,
    selection: Selection,
    *,
    window: Window,
    each: bool = False,
    order: str = "",
) -> int:
    """Delete the records that the same read would return; return how many.

    Args:
        each: Whether the window applies to each variable separately.
        order: The order in which they are chosen; by default, the selection's.
    """
    groups = by_variable(device.series) if each else [device.series]
    found = [
        find(
            group,
            selection,
            columns="variable.*",
            window=window,
            order=order,
            name=f"v{number}s",
        )
        for number, group in enumerate(groups)
        if group
    ]
    if not found:
        return 0
    values: dict[str, object] = {}
    for _, more in found:
        values |= more
    places = (f"(SELECT {PLACE} FROM ({text}) AS one)" for text, _ in found)  # noqa: S608
    together = " UNION ALL ".join(places)
    return connection.execute(
        f"DELETE FROM variable USING ({together}) AS gone"  # noqa: S608 - our own words
        " WHERE variable.series_id = gone.series_id AND variable.time = gone.time"
        " AND variable.id = gone.id",
        values,
    ).rowcount
