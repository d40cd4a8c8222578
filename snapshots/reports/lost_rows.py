"""Find the backups that still have lost rows, from all their contents."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from backups_portal.lib.loggers import get_logger
from backups_portal.projects.models import Project
from snapshots.engine.contents_index import DEVICES, Device, DeviceCells, read_devices
from snapshots.engine.errors import EngineError
from snapshots.engine.manifest import Manifest
from snapshots.engine.pg_timestamps import EPOCH
from snapshots.engine.segment_plan import ChunkRange
from snapshots.engine.segments import check_columns, read_segment
from snapshots.engine.storage import Storage
from snapshots.integrity.recorded_manifests import load_manifest
from snapshots.models import Snapshot
from snapshots.reports.current_database import current_database
from snapshots.storages.configured_storages import reading_storage

log = get_logger(__name__)

# A search that finds more devices than this asks for a longer part of the name.
MAX_DEVICES = 25
COUNT = """SELECT (SELECT name FROM device WHERE id = %(device)s),
    EXISTS (SELECT FROM device WHERE name = %(name)s AND id <> %(device)s),
    (SELECT count(*) FROM variable
    WHERE series_id IN (SELECT id FROM series WHERE device_id = %(device)s){days})"""
OF_DAYS = " AND time >= %(first)s AND time < %(last)s::timestamptz + interval '24 hours'"


@dataclass(frozen=True)
class Holding:
    """The rows that one backup has of the searched ones.

    Attributes:
        rows: None if its contents cannot be read; `error` says why.
        is_most: Whether no backup has more.
        has_variable: Whether the device has the searched variable in this backup.
    """

    snapshot: Snapshot
    rows: int | None
    error: str = ""
    is_most: bool = False
    has_variable: bool = True

    @property
    def is_restorable(self) -> bool:
        """Tell whether restoring the backup brings rows back."""
        return bool(self.rows) and self.snapshot.is_restorable


@dataclass(frozen=True)
class RowsNow:
    """A device in the main database.

    Attributes:
        name: Its name there; None if it is gone.
        has_namesake: Whether another device there has the name that was searched.
        rows: The number of its rows, of the searched days.
    """

    name: str | None
    has_namesake: bool
    rows: int


@dataclass(frozen=True)
class Found:
    """All stored backups of a project, newest first, with their rows.

    Attributes:
        database: The main database's answer; None if it did not answer in time.
    """

    holdings: list[Holding]
    database: RowsNow | None

    @property
    def now(self) -> int | None:
        """Return the rows in the main database; None if unknown."""
        return None if self.database is None else self.database.rows

    @property
    def is_device_gone(self) -> bool:
        """Tell whether the main database answered that it has no such device."""
        return self.database is not None and self.database.name is None

    @property
    def has_variable(self) -> bool:
        """Tell whether a backup has the searched variable, or may have it."""
        return any(holding.has_variable for holding in self.holdings)

    @property
    def best(self) -> Holding | None:
        """Return the newest restorable backup with the most rows; None if none."""
        restorable = [holding for holding in self.holdings if holding.is_restorable]
        return max(restorable, key=lambda holding: holding.rows or 0, default=None)

    @property
    def has_failed_best(self) -> bool:
        """Tell whether one that failed its proof has more than all restorable."""
        return any(holding.is_most for holding in self.holdings) and not (
            self.best and self.best.is_most
        )

    @property
    def is_lost(self) -> bool:
        """Tell whether a backup has more than the main database, if that answered."""
        return self.best is not None and (self.now is None or self.now < (self.best.rows or 0))

    @property
    def is_complete(self) -> bool:
        """Tell whether every backup could be read."""
        return all(holding.rows is not None for holding in self.holdings)


@dataclass(frozen=True)
class FoundDevices:
    """Devices by name, and the number of backups that could not be searched."""

    devices: list[Device]
    unreadable: int


def chunk_of(day: date) -> int:
    """Return the chunk of a day in UTC."""
    return (datetime.combine(day, datetime.min.time(), UTC) - EPOCH).days


def day_of(chunk: int) -> date:
    """Return the day in UTC of a chunk."""
    return (EPOCH + timedelta(days=chunk)).date()


def find_devices(project: Project, text: str) -> FoundDevices:
    """Find devices of any stored backup by a part of their name or id.

    If the text is the whole name or id of any, only these are returned. A device has its name in
    the newest backup.

    Raises:
        StorageError: the storage cannot be opened at all.
    """
    sought = text.strip().casefold()
    found: dict[str, Device] = {}
    unreadable = 0
    library = _Library()
    for snapshot in stored_newest_first(project):
        try:
            devices = library.devices(snapshot)
        except EngineError:
            log.warning("devices cannot be read", snapshot=snapshot.pk, exc_info=True)
            unreadable += 1
            continue
        for device in devices:
            found.setdefault(device.device_id, device)
    names = {device: (device.name.casefold(), device.device_id) for device in found.values()}
    exact = [device for device in names if sought in names[device]]
    partly = [device for device in names if any(sought in name for name in names[device])]
    by_name = sorted(exact or partly, key=lambda device: (device.name, device.device_id))
    return FoundDevices(by_name, unreadable)


def stored_newest_first(project: Project) -> list[Snapshot]:
    """Return the stored backups, including those that failed a proof."""
    stored = Snapshot.objects.completed().filter(project=project)
    return list(stored.defer("table_rows").order_by("-taken_at", "-id"))


def find_rows(
    project: Project,
    device_id: str,
    day: date | None = None,
    last_day: date | None = None,
    *,
    name: str = "",
    variable: str = "",
) -> Found:
    """Count a device's rows in each stored backup and now.

    The counts come from the contents, which know only devices and days. For a variable, only its
    existence is checked: a backup in which the device lacks it has none of the rows.

    Args:
        name: The device's, to tell whether another one in the main database has it.
        day, last_day: In UTC. Without `day`, all days count; without `last_day`, only `day`.

    Raises:
        StorageError: the storage cannot be opened at all.
    """
    library = _Library()
    last_day = last_day or day
    part = ChunkRange(None, None)
    if day and last_day:
        part = ChunkRange(chunk_of(day), chunk_of(last_day) + 1)
    holdings = []
    for snapshot in stored_newest_first(project):
        try:
            has_variable = not variable or library.has(snapshot, device_id, variable)
            rows = library.rows(snapshot, device_id, part) if has_variable else 0
            holdings.append(Holding(snapshot, rows, has_variable=has_variable))
        except EngineError as error:
            log.warning("contents cannot be read", snapshot=snapshot.pk, exc_info=True)
            holdings.append(Holding(snapshot, None, str(error)))
    most = max((holding.rows or 0 for holding in holdings), default=0)
    marked = [replace(item, is_most=most > 0 and item.rows == most) for item in holdings]
    asked = {"device": device_id, "name": name}
    return Found(marked, _rows_now(project, asked, day, last_day))


class _Library:
    """The contents of many backups, whose shared objects are read once."""

    def __init__(self) -> None:
        self._storage: Storage = reading_storage()
        self._cells = DeviceCells(self._storage)
        self._devices: dict[str, list[Device]] = {}
        # Pairs of a device and a variable, by the keys of their segments.
        self._variables: dict[str, set[tuple[str, str]]] = {}

    def has(self, snapshot: Snapshot, device_id: str, variable: str) -> bool:
        """Tell whether a device has a variable in a backup; raise EngineError."""
        segments = load_manifest(self._storage, snapshot).of("series")
        key = ",".join(item.key for item in segments)
        if key not in self._variables:
            self._variables[key] = {
                pair
                for item in segments
                for pair in _variables_in(read_segment(self._storage, item), device_id)
            }
        return (device_id, variable) in self._variables[key]

    def devices(self, snapshot: Snapshot) -> list[Device]:
        """Return the devices of a backup; raise EngineError."""
        return self._devices_of(load_manifest(self._storage, snapshot))

    def _devices_of(self, manifest: Manifest) -> list[Device]:
        key = ",".join(item.key for item in manifest.contents if item.table == DEVICES)
        if key not in self._devices:
            self._devices[key] = read_devices(self._storage, manifest.contents)
        return self._devices[key]

    def rows(self, snapshot: Snapshot, device_id: str, part: ChunkRange) -> int:
        """Count a device's rows in a range of chunks; raise EngineError."""
        manifest = load_manifest(self._storage, snapshot)
        devices = self._devices_of(manifest)
        number = next((one.number for one in devices if one.device_id == device_id), None)
        if number is None:
            return 0
        found = self._cells.within(manifest.contents, number, part)
        return sum(int(cells["rows"].to_numpy().sum()) for cells in found)


def _variables_in(series: pa.Table, device_id: str) -> Iterable[tuple[str, str]]:
    check_columns(series.column_names, ("device_id", "variable"), "series")
    own = series.filter(pc.equal(series["device_id"], device_id))
    return ((device_id, name) for name in own["variable"].to_pylist())


def _rows_now(
    project: Project, device: dict[str, str], day: date | None, last_day: date | None
) -> RowsNow | None:
    """Count the device's rows in the main database; None if it is away."""
    bounds = {
        name: datetime.combine(one, datetime.min.time(), UTC)
        for name, one in (("first", day), ("last", last_day))
        if one
    }
    query = COUNT.format(days=OF_DAYS if bounds else "")
    try:
        with current_database(project) as connection:
            row = connection.execute(query, {**device, **bounds}).fetchone()
    except EngineError:
        log.warning("the main database was not asked", project=project.pk, exc_info=True)
        return None
    return RowsNow(*row) if row else None
