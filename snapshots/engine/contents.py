"""What a snapshot holds of every device, kept beside its segments so that nobody opens those.

A summary row tells of one device in one segment: how many rows, from when until when, and half of
the low lane of their digest, which is enough to tell that something differs. Summaries of about a
month share an object; like segments, these are named by what they hold, so that a month without
change is stored once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np
import psycopg
import pyarrow as pa

from snapshots.engine.digest import Words
from snapshots.engine.manifest import Segment
from snapshots.engine.segments import EncodedSegment, encode, read_segment
from snapshots.engine.storage import Storage

SUMMARIES = "contents.variable"
DEVICES = "contents.device"
# Summaries of segments that begin within so many chunks share an object.
CHUNKS_PER_OBJECT = 32
BEFORE_ALL = -1_000_000

SUMMARY_SCHEMA = pa.schema(
    [
        ("segment", pa.string()),
        ("device_id", pa.string()),
        ("rows", pa.int64()),
        ("first", pa.timestamp("us", "UTC")),
        ("last", pa.timestamp("us", "UTC")),
        ("digest", pa.int32()),
    ]
)
DEVICE_SCHEMA = pa.schema(
    [("device_id", pa.string()), ("name", pa.string()), ("variables", pa.int64())]
)


@dataclass(frozen=True)
class DeviceContent:
    """What a snapshot holds of one device."""

    device_id: str
    name: str
    variables: int
    rows: int
    first: datetime | None
    last: datetime | None


class SeriesDevices:
    """Which device a series belongs to; by number, for whole columns at a time."""

    def __init__(self, rows: Iterable[tuple[int, str]]) -> None:
        pairs = sorted(rows)
        self._series = np.array([series for series, _ in pairs], np.int64)
        self._devices = np.array([device for _, device in pairs], object)

    def of(self, series: Words) -> list[str]:
        """The device of each series; "" where it has been deleted."""
        if not len(self._series):
            return [""] * len(series)
        places = np.minimum(np.searchsorted(self._series, series), len(self._series) - 1)
        known = self._series[places] == series
        return [
            str(device) if ok else ""
            for device, ok in zip(self._devices[places], known, strict=True)
        ]


def read_series_devices(connection: psycopg.Connection[tuple[object, ...]]) -> SeriesDevices:
    """The devices of all series of a database."""
    rows = connection.execute("SELECT id, device_id FROM series").fetchall()
    return SeriesDevices((int(str(series)), str(device)) for series, device in rows)


def read_devices(connection: psycopg.Connection[tuple[object, ...]]) -> pa.Table:
    """Name and number of variables of every device of a database."""
    rows = connection.execute(
        """SELECT device.id, name, count(DISTINCT variable) FROM device
           LEFT JOIN series ON series.device_id = device.id GROUP BY device.id ORDER BY device.id"""
    ).fetchall()
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], []]
    return pa.table(columns, schema=DEVICE_SCHEMA)


def summarise(table: pa.Table, low: Words, key: str, devices: SeriesDevices) -> pa.Table:
    """Summary rows of a segment of variables, which is sorted by series.

    Args:
        low: The low word of each row's digest.
        key: The segment's.
    """
    series = table["series_id"].to_numpy()
    if not len(series):
        return SUMMARY_SCHEMA.empty_table()
    starts = np.flatnonzero(np.r_[True, series[1:] != series[:-1]])
    moments = table["time"].cast(pa.int64()).to_numpy()
    names, places = np.unique(devices.of(series[starts]), return_inverse=True)
    rows = np.zeros(len(names), np.int64)
    digest = np.zeros(len(names), np.uint64)
    first = np.full(len(names), np.iinfo(np.int64).max)
    last = np.full(len(names), np.iinfo(np.int64).min)
    np.add.at(rows, places, np.diff(np.r_[starts, len(series)]))
    np.add.at(digest, places, np.add.reduceat(low, starts))
    np.minimum.at(first, places, np.minimum.reduceat(moments, starts))
    np.maximum.at(last, places, np.maximum.reduceat(moments, starts))
    return pa.table(
        [
            pa.array([key] * len(names)),
            pa.array(names.tolist(), pa.string()),
            rows,
            pa.array(first).cast(SUMMARY_SCHEMA.field("first").type),
            pa.array(last).cast(SUMMARY_SCHEMA.field("last").type),
            (digest >> np.uint64(32)).astype(np.uint32).view(np.int32),
        ],
        schema=SUMMARY_SCHEMA,
    )


def encode_contents(
    project_id: UUID, segments: list[Segment], summaries: dict[str, pa.Table], devices: pa.Table
) -> Iterator[EncodedSegment]:
    """The objects that describe a snapshot's segments of variables.

    Args:
        summaries: By the key of the segment that they are of.
    """
    groups: dict[int, list[pa.Table]] = {}
    for segment in segments:
        first = BEFORE_ALL if segment.first_chunk is None else segment.first_chunk
        groups.setdefault(first // CHUNKS_PER_OBJECT, []).append(summaries[segment.key])
    for tables in groups.values():
        yield encode(
            pa.concat_tables(tables),
            project_id=project_id,
            name=SUMMARIES,
            digest_columns=tuple(SUMMARY_SCHEMA.names),
        )
    yield encode(
        devices, project_id=project_id, name=DEVICES, digest_columns=tuple(DEVICE_SCHEMA.names)
    )


def read_summaries(storage: Storage, contents: Iterable[Segment]) -> pa.Table:
    """All summary rows of a snapshot.

    Raises:
        EngineError: an object is missing or damaged.
    """
    tables = [read_segment(storage, item) for item in contents if item.table == SUMMARIES]
    return pa.concat_tables([SUMMARY_SCHEMA.empty_table(), *tables])


def summaries_by_segment(storage: Storage, contents: Iterable[Segment]) -> dict[str, pa.Table]:
    """The same, by the key of the segment that they are of."""
    summaries = read_summaries(storage, contents).combine_chunks()
    keys = np.asarray(summaries["segment"].to_pylist(), object)
    if not len(keys):
        return {}
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    ends = np.r_[starts[1:], len(keys)]
    return {
        str(keys[start]): summaries.slice(start, end - start)
        for start, end in zip(starts, ends, strict=True)
    }


def list_devices(storage: Storage, contents: Iterable[Segment]) -> list[DeviceContent]:
    """What a snapshot holds, device by device, ordered by name.

    Raises:
        EngineError: an object is missing or damaged.
    """
    contents = list(contents)
    totals = {
        row["device_id"]: row
        for row in read_summaries(storage, contents)
        .group_by("device_id")
        .aggregate([("rows", "sum"), ("first", "min"), ("last", "max")])
        .to_pylist()
    }
    nothing = {"rows_sum": 0, "first_min": None, "last_max": None}
    found = []
    for item in contents:
        if item.table == DEVICES:
            for device in read_segment(storage, item).to_pylist():
                total = totals.get(device["device_id"], nothing)
                found.append(
                    DeviceContent(
                        **device,
                        rows=total["rows_sum"],
                        first=total["first_min"],
                        last=total["last_max"],
                    )
                )
    return sorted(found, key=lambda device: (device.name, device.device_id))
