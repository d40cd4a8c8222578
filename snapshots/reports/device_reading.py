"""Open a device's records in a stored snapshot, or explain the obstacle."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings

from backups_portal.accounts.models import Account
from backups_portal.lib.bulkhead import Bulkhead
from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.limits import Limit
from snapshots.engine.contents_index import Device, read_devices
from snapshots.engine.device_export import csv_pieces, parquet_pieces
from snapshots.engine.device_records import DeviceRecords
from snapshots.engine.errors import EngineError, MissingObjectError
from snapshots.engine.fallback_storage import StorageWithCopy, is_away
from snapshots.engine.manifest import Manifest
from snapshots.engine.manifest_record import ManifestRecord
from snapshots.engine.series_search import Selection
from snapshots.engine.storage import Storage
from snapshots.integrity.recorded_manifests import record_of
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.storages.configured_storages import has_copies, reading_storage
from snapshots.storages.storage_marker import check_storage_on_missing

# How long a page or an API call may read.
PAGE_SECONDS = 10.0
# A file is sent while it is read, however long that takes.
FILE_SECONDS = 24 * 3600.0
# Snapshots whose manifest and devices a process caches.
RECALLED = 8
# A reader of a large project holds some 50 MB, and keeps the cores busy.
READERS = Bulkhead(running=2, waiting=2, seconds=5)
FILES = Bulkhead(running=2, waiting=0, seconds=30)
# All pages about a device that somebody views within this time are recorded as one event.
RECORDED_ONCE = Limit("looked-inside", tries=1, seconds=15 * 60)


class UnknownDeviceError(Exception):
    """The snapshot has no such device."""


@dataclass(frozen=True)
class OpenDevice:
    """A device in a snapshot, ready to be read.

    Attributes:
        prefix: The hex digits with which its database's ids begin.
    """

    records: DeviceRecords
    prefix: str
    storage: Storage

    @property
    def device(self) -> Device:
        """Return the device as the snapshot lists it."""
        return self.records.device

    @property
    def is_from_copy(self) -> bool:
        """Tell whether anything was read from the second storage."""
        return isinstance(self.storage, StorageWithCopy) and bool(self.storage.lost)

    def file(self, selection: Selection, kind: str) -> Iterator[bytes]:
        """Yield records as a `csv` or `parquet` file; raise EngineError."""
        if kind == "parquet":
            return parquet_pieces(self.records, selection)
        return csv_pieces(self.records, selection, self.prefix)


@dataclass(frozen=True)
class Obstacle:
    """The reason why a snapshot cannot be read, and what to do instead.

    Attributes:
        is_passing: Whether trying again may help.
    """

    title: str
    reason: str
    advice: str
    is_passing: bool

    def __str__(self) -> str:
        return f"{self.title}. {self.reason} {self.advice}"


def open_device(snapshot: Snapshot, device_id: str, *, seconds: float = PAGE_SECONDS) -> OpenDevice:
    """Open a device of a stored snapshot.

    Raises:
        UnknownDeviceError: the snapshot has no such device.
        EngineError: the manifest or the list of devices is missing, damaged or locked.
    """
    manifest, devices = _recalled(_places(), record_of(snapshot))
    if device_id not in devices:
        raise UnknownDeviceError(device_id)
    storage = reading_storage()
    records = DeviceRecords(storage, manifest, devices[device_id], seconds=seconds)
    return OpenDevice(records, manifest.prefix, storage)


def open_snapshot(snapshot: Snapshot) -> tuple[Storage, Manifest]:
    """Open a stored snapshot, to read its resources; raises EngineError."""
    return reading_storage(), _recalled(_places(), record_of(snapshot))[0]


def _places() -> tuple[str, ...]:
    return settings.SNAPSHOT_STORAGE, settings.SNAPSHOT_COPY_STORAGE


@lru_cache(maxsize=RECALLED)
@check_storage_on_missing()
def _recalled(
    _places: tuple[str, ...], record: ManifestRecord
) -> tuple[Manifest, dict[str, Device]]:
    storage = reading_storage()
    manifest = record.load(storage)
    devices = read_devices(storage, manifest.contents)
    return manifest, {device.device_id: device for device in devices}


def find_obstacle(snapshot: Snapshot, error: EngineError) -> Obstacle:
    """Explain why a snapshot cannot be read, and whether its copy helps."""
    is_passing = is_away(error)
    return Obstacle(
        title=_title(error),
        reason=str(error),
        advice="Try again in a few minutes." if is_passing else _advice(snapshot, error),
        is_passing=is_passing,
    )


def _title(error: EngineError) -> str:
    if is_away(error):
        return "The backup storage did not answer"
    if isinstance(error, MissingObjectError):
        return "A part of this backup is missing in storage"
    titles = {
        Cause.ENCRYPTION_KEY: "This backup is locked with a key that the portal does not have",
        Cause.VERSION: "This version of Backups Portal cannot read this backup",
        Cause.DAMAGED: "A part of this backup is damaged",
    }
    return titles.get(error.cause, "This backup cannot be read")


def _advice(snapshot: Snapshot, error: EngineError) -> str:
    """Describe the copy in the second storage, which was tried already."""
    if error.cause == Cause.VERSION:
        return "Other backups may have the same records."
    copy = SnapshotCopy.objects.filter(snapshot=snapshot).first()
    if not has_copies():
        return "There is no copy in a second storage. Other backups may have the same records."
    if copy is None or copy.state != SnapshotCopy.State.COPIED:
        return "The second storage has no copy of this backup yet."
    return f"Its copy in {copy.place} was tried too, and does not have this part either."


def note_look(snapshot: Snapshot, actor: Account, device: Device) -> None:
    """Record who looks at a device's records, once per quarter of an hour."""
    if RECORDED_ONCE.take(f"{actor.pk} {snapshot.pk} {device.device_id}"):
        return
    snapshot.record("snapshot.looked_inside", actor, device=_name(device))


def note_look_at_resources(snapshot: Snapshot, actor: Account, kind: str) -> None:
    """Record who looks at resources, once per kind and quarter of an hour."""
    if not RECORDED_ONCE.take(f"{actor.pk} {snapshot.pk} {kind}"):
        snapshot.record("snapshot.looked_inside", actor, resources=kind)


def note_export(
    snapshot: Snapshot, actor: Account | None, device: Device, kind: str, **how: str
) -> None:
    """Record who exports a device's records, and how; None is an operator."""
    snapshot.record("snapshot.device_exported", actor, device=_name(device), format=kind, **how)


def _name(device: Device) -> str:
    return device.name or device.device_id
