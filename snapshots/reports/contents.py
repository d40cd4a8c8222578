"""Describe a stored snapshot from its manifest and contents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa
from django.conf import settings

from backups_portal.projectdb.catalogue import BY_NAME, TABLES
from snapshots.engine.contents_index import (
    Device,
    Excluded,
    excluded_totals,
    read_cells,
    read_devices,
    read_excluded,
)
from snapshots.engine.manifest import ExcludedTotal
from snapshots.engine.manifest_record import ManifestRecord
from snapshots.integrity.recorded_manifests import load_manifest, record_of
from snapshots.models import Snapshot
from snapshots.storages.configured_storages import reading_storage
from snapshots.storages.storage_marker import check_storage_on_missing

EXCLUDED_LABELS = {
    "script": "analysis scripts",
    "console": "lines of analysis consoles",
    "file": "uploaded files",
    "attachment": "file attachments",
    "orphan": "rows of deleted devices",
    "large_object": "large objects of PostgreSQL",
    "relation": "tables that are not part of a project",
}
# Snapshots whose contents a process caches; with 10,000 devices they take 5 MB each.
RECALLED = 8
# Rows whose device was deleted while the snapshot was being taken.
NO_DEVICE = "Rows without a device"


@dataclass(frozen=True)
class DeviceLine:
    """A snapshot's figures for a device; `variables` counts distinct names."""

    device_id: str
    name: str
    variables: int
    rows: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True)
class ExcludedLine:
    """How much of one kind a snapshot leaves out; the size is in bytes."""

    label: str
    count: int
    size: int


@dataclass(frozen=True)
class Inside:
    """A snapshot's contents; devices by name, excluded items by kind and name."""

    devices: list[DeviceLine]
    excluded: list[Excluded]

    @property
    def excluded_lines(self) -> list[ExcludedLine]:
        """Return the kinds with excluded items."""
        return _excluded_lines(excluded_totals(self.excluded))


def left_out(snapshot: Snapshot) -> list[ExcludedLine]:
    """Count what a stored snapshot leaves out, from its manifest alone.

    Raises:
        EngineError: the manifest is missing or damaged.
    """
    return _excluded_lines(load_manifest(reading_storage(), snapshot).excluded)


def _excluded_lines(totals: Mapping[str, ExcludedTotal]) -> list[ExcludedLine]:
    return [
        ExcludedLine(label, totals[kind].count, totals[kind].size)
        for kind, label in EXCLUDED_LABELS.items()
        if kind in totals
    ]


def look_inside(snapshot: Snapshot) -> Inside:
    """Read the contents of a stored snapshot.

    Raises:
        EngineError: the manifest or an object of the contents is missing or damaged.
    """
    return _read_inside(record_of(snapshot))


def recall_inside(snapshot: Snapshot) -> Inside:
    """Return the contents, cached per process for pages that search them.

    Proofs and sweeps check whether storage still has everything; a cached answer does not.
    """
    return _recalled(settings.SNAPSHOT_STORAGE, record_of(snapshot))


@lru_cache(maxsize=RECALLED)
def _recalled(_storage_url: str, record: ManifestRecord) -> Inside:
    return _read_inside(record)


@check_storage_on_missing()
def _read_inside(record: ManifestRecord) -> Inside:
    storage = reading_storage()
    manifest = record.load(storage)
    rows = _rows_by_number(read_cells(storage, manifest.contents))
    devices = [
        _line(device, rows.pop(device.number, 0) if device.number else 0)
        for device in read_devices(storage, manifest.contents)
    ]
    if lost := sum(rows.values()):
        devices.append(DeviceLine("", NO_DEVICE, 0, lost, None, None))
    return Inside(devices, read_excluded(storage, manifest.contents))


def _rows_by_number(cells: pa.Table) -> dict[int, int]:
    totals = cells.group_by("device").aggregate([("rows", "sum")])
    return dict(zip(totals["device"].to_pylist(), totals["rows_sum"].to_pylist(), strict=True))


def _line(device: Device, rows: int) -> DeviceLine:
    return DeviceLine(
        device.device_id, device.name, device.variables, rows, device.first, device.last
    )


def search_devices(devices: Sequence[DeviceLine], text: str) -> list[DeviceLine]:
    """Find the devices whose name or id contains the text, in any case."""
    sought = text.strip().casefold()
    return [
        device
        for device in devices
        if sought in device.name.casefold() or sought in device.device_id
    ]


def search_excluded(excluded: Sequence[Excluded], text: str) -> list[Excluded]:
    """Find excluded items whose name contains the text, in any case."""
    sought = text.strip().casefold()
    return [item for item in excluded if sought in item.name.casefold()]


class Content(NamedTuple):
    """The rows of one table, under the name that users know."""

    label: str
    rows: int


def contents_of(table_rows: dict[str, int]) -> list[Content]:
    """Name the tables that have rows, in the catalogue's order.

    Args:
        table_rows: Rows by table name, as snapshots and restores record them.
    """
    labels = {table.name: table.label for table in TABLES}
    place = {name: number for number, name in enumerate(labels)}
    names = sorted(table_rows, key=lambda name: (place.get(name, len(place)), name))
    return [Content(labels.get(name, name), table_rows[name]) for name in names if table_rows[name]]


def label_of(table: str) -> str:
    """Return the name under which users know a table."""
    return BY_NAME[table].label if table in BY_NAME else table
