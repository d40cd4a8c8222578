"""What is inside a stored snapshot: told by its manifest and contents, its segments untouched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import pyarrow as pa
from django.conf import settings

from snapshots.engine.contents import (
    Device,
    Excluded,
    excluded_totals,
    read_cells,
    read_devices,
    read_excluded,
)
from snapshots.engine.manifest import ExcludedTotal, Manifest
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from snapshots.storages import reading_storage

EXCLUDED_LABELS = {
    "script": "analysis scripts",
    "console": "lines of analysis consoles",
    "file": "uploaded files",
    "attachment": "file attachments",
}
# Snapshots whose contents a process keeps in memory; of 10,000 devices they take 5 MB each.
RECALLED = 8
# Rows whose device was deleted while they were being stored.
NO_DEVICE = "Rows without a device"


@dataclass(frozen=True)
class DeviceLine:
    """What a snapshot holds of one device; `variables` are the different names of its records."""

    device_id: str
    name: str
    variables: int
    rows: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True)
class ExcludedLine:
    """How much of a kind a snapshot leaves out; the size is in bytes."""

    label: str
    count: int
    size: int


@dataclass(frozen=True)
class Inside:
    """A snapshot's contents; devices by name, what is left out by kind and name."""

    devices: list[DeviceLine]
    excluded: list[Excluded]

    @property
    def excluded_lines(self) -> list[ExcludedLine]:
        """The kinds of which something was left out."""
        return _excluded_lines(excluded_totals(self.excluded))


def left_out(snapshot: Snapshot) -> list[ExcludedLine]:
    """How much of each kind a stored snapshot leaves out; nothing is read but its manifest.

    Raises:
        EngineError: the manifest is missing or damaged.
    """
    return _excluded_lines(Manifest.load(_storage(), snapshot.manifest).excluded)


def _storage() -> Storage:
    return reading_storage()


def _excluded_lines(totals: Mapping[str, ExcludedTotal]) -> list[ExcludedLine]:
    return [
        ExcludedLine(label, totals[kind].count, totals[kind].size)
        for kind, label in EXCLUDED_LABELS.items()
        if kind in totals
    ]


def look_inside(snapshot: Snapshot) -> Inside:
    """Read what a stored snapshot says that it holds.

    Raises:
        EngineError: the manifest or an object of the contents is missing or damaged.
    """
    return _read_inside(snapshot.manifest)


def recall_inside(snapshot: Snapshot) -> Inside:
    """The same for pages, which are turned and searched: read once, since it never changes.

    Whether the storage still has it all, proofs and sweeps tell; this only when it reads.
    """
    return _recalled(settings.SNAPSHOT_STORAGE, snapshot.manifest)


@lru_cache(maxsize=RECALLED)
def _recalled(_storage_url: str, key: str) -> Inside:
    return _read_inside(key)


def _read_inside(key: str) -> Inside:
    storage = _storage()
    manifest = Manifest.load(storage, key)
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
    """The devices whose name or id has the text in it, in any case."""
    sought = text.strip().casefold()
    return [
        device
        for device in devices
        if sought in device.name.casefold() or sought in device.device_id
    ]


def search_excluded(excluded: Sequence[Excluded], text: str) -> list[Excluded]:
    """What was left out whose name has the text in it, in any case."""
    sought = text.strip().casefold()
    return [item for item in excluded if sought in item.name.casefold()]
