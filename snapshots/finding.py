"""Which backup still has the rows that somebody lost: read from the contents of all of them."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from backups_portal.projects.connections import project_dsn
from backups_portal.projects.models import Project
from snapshots.engine.cells import CELL_SCHEMA
from snapshots.engine.chunks import ChunkRange
from snapshots.engine.contents import CELLS, DEVICES, Device, read_cells, read_devices
from snapshots.engine.errors import EngineError
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.source import EPOCH, source_errors
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from snapshots.storages import reading_storage

log = logging.getLogger(__name__)

# A search that finds more devices than this asks for more of the name.
MOST_DEVICES = 25
TIMEOUT_MS = 5_000


@dataclass(frozen=True)
class Holding:
    """How many rows a backup has of what is looked for.

    Attributes:
        rows: None where its contents cannot be read; `error` says why.
        is_most: Whether no backup has more.
    """

    snapshot: Snapshot
    rows: int | None
    error: str = ""
    is_most: bool = False


@dataclass(frozen=True)
class Found:
    """All stored backups of a project, the newest first, with the rows that they have.

    Attributes:
        now: Rows in the main database; None where it was not asked, or did not answer.
    """

    holdings: list[Holding]
    now: int | None

    @property
    def best(self) -> Holding | None:
        """The newest backup of those with the most rows; None where none has any."""
        return next((holding for holding in self.holdings if holding.is_most), None)

    @property
    def is_complete(self) -> bool:
        """Whether every backup told."""
        return all(holding.rows is not None for holding in self.holdings)


@dataclass(frozen=True)
class FoundDevices:
    """Devices by name, and how many backups could not be asked for theirs."""

    devices: list[Device]
    unreadable: int


def chunk_of(day: date) -> int:
    """The chunk that a day in UTC is."""
    return (datetime.combine(day, datetime.min.time(), UTC) - EPOCH).days


def day_of(chunk: int) -> date:
    """The day in UTC that a chunk is."""
    return (EPOCH + timedelta(days=chunk)).date()


def find_devices(project: Project, text: str) -> FoundDevices:
    """Devices of any stored backup whose name or id has the text in it, in any case, by name.

    Where the text is the whole name or id of some, only these. A device has the name that the
    newest backup knows.

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
            log.warning("devices cannot be read snapshot=%s", snapshot.pk, exc_info=True)
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
    """The project's stored backups, also those that failed their proof."""
    stored = Snapshot.objects.completed().filter(project=project)
    return list(stored.defer("table_rows").order_by("-taken_at", "-id"))


def find_rows(project: Project, device_id: str, day: date | None = None) -> Found:
    """How many rows each stored backup has of a device, on one day (UTC) or on all.

    The main database is asked where a day is named, which its index answers at once.

    Raises:
        StorageError: the storage cannot be opened at all.
    """
    library = _Library()
    part = ChunkRange(chunk_of(day), chunk_of(day) + 1) if day else ChunkRange(None, None)
    holdings = []
    for snapshot in stored_newest_first(project):
        try:
            holdings.append(Holding(snapshot, library.rows(snapshot, device_id, part)))
        except EngineError as error:
            log.warning("contents cannot be read snapshot=%s", snapshot.pk, exc_info=True)
            holdings.append(Holding(snapshot, None, str(error)))
    most = max((holding.rows or 0 for holding in holdings), default=0)
    marked = [
        Holding(item.snapshot, item.rows, item.error, most > 0 and item.rows == most)
        for item in holdings
    ]
    return Found(marked, _rows_now(project, device_id, day) if day else None)


class _Library:
    """The contents of many backups; what they share is read once."""

    def __init__(self) -> None:
        self._storage: Storage = reading_storage()
        self._manifests: dict[str, Manifest] = {}
        # Of one device each, by the object and the device's number.
        self._cells: dict[tuple[str, int], pa.Table] = {}
        self._devices: dict[str, list[Device]] = {}

    def _manifest(self, snapshot: Snapshot) -> Manifest:
        key = snapshot.manifest
        if key not in self._manifests:
            self._manifests[key] = Manifest.load(self._storage, key)
        return self._manifests[key]

    def devices(self, snapshot: Snapshot) -> list[Device]:
        """The devices of a backup; raises EngineError."""
        return self._devices_of(self._manifest(snapshot))

    def _devices_of(self, manifest: Manifest) -> list[Device]:
        key = ",".join(item.key for item in manifest.contents if item.table == DEVICES)
        if key not in self._devices:
            self._devices[key] = read_devices(self._storage, manifest.contents)
        return self._devices[key]

    def rows(self, snapshot: Snapshot, device_id: str, part: ChunkRange) -> int:
        """Rows of a device within a range of chunks; raises EngineError."""
        manifest = self._manifest(snapshot)
        number = next(
            (d.number for d in self._devices_of(manifest) if d.device_id == device_id), None
        )
        if number is None:
            return 0
        objects = [
            item
            for item in manifest.contents
            if item.table == CELLS and part.meets(ChunkRange(item.first_chunk, item.end_chunk))
        ]
        cells = self._of_device(objects, number)
        chunks = cells["chunk"].to_pylist()
        rows = cells["rows"].to_pylist()
        return sum(count for chunk, count in zip(chunks, rows, strict=True) if part.holds(chunk))

    def _of_device(self, objects: Iterable[Segment], number: int) -> pa.Table:
        tables = [CELL_SCHEMA.empty_table()]
        for item in objects:
            known = (item.key, number)
            if known not in self._cells:
                cells = read_cells(self._storage, [item])
                self._cells[known] = cells.filter(pc.equal(cells["device"], number))
            tables.append(self._cells[known])
        return pa.concat_tables(tables)


def _rows_now(project: Project, device_id: str, day: date) -> int | None:
    first = datetime.combine(day, datetime.min.time(), UTC)
    try:
        with (
            source_errors(),
            psycopg.connect(
                project_dsn(project),
                connect_timeout=5,
                options=f"-c statement_timeout={TIMEOUT_MS}",
            ) as connection,
        ):
            row = connection.execute(
                """SELECT count(*) FROM variable WHERE time >= %s AND time < %s AND series_id IN
                   (SELECT id FROM series WHERE device_id = %s)""",
                [first, first + timedelta(days=1), device_id],
            ).fetchone()
    except EngineError:
        log.warning("the main database was not asked project=%s", project.pk, exc_info=True)
        return None
    return int(row[0]) if row else None
