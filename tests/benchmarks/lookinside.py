"""Time the look inside a stored snapshot: `python -m tests.benchmarks.lookinside`.

The snapshot is synthetic, with the segments that the engine would write: every device has some
variables that report together, and the first variable of the first one has 500 records a day. Each
measurement opens everything from scratch, as a process's first request does.
"""

import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from snapshots.engine.chart_points import chart_points
from snapshots.engine.contents_index import (
    DEVICES,
    EXCLUDED,
    Device,
    encode_cells,
    encode_rows,
    keep_nothing,
    read_devices,
)
from snapshots.engine.day_device_counts import CELL_SCHEMA
from snapshots.engine.device_export import csv_pieces
from snapshots.engine.device_records import DeviceRecords
from snapshots.engine.digest import Digest
from snapshots.engine.encryption import MasterKeys, ProjectCipher
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.pg_timestamps import DAY, EPOCH
from snapshots.engine.record_rows import records_of
from snapshots.engine.segment_plan import ChunkRange
from snapshots.engine.segments import Coverage, EncodedSegment, encode
from snapshots.engine.series_search import Selection
from snapshots.engine.storage import Storage, open_storage
from tests.benchmarks.harness import console_of, parser_of, print_json
from tests.benchmarks.machine import Machine, peak_growth
from tests.s3 import BUCKET, bucket_url, s3_server

FIRST_DAY = 20_000
A_DAY = 500
ROUNDS = 5
KEYS = MasterKeys({"benchmark": b"b" * 32})
PREFIX = "0" * 8
# The same values as on the pages.
LINES, COLUMNS = 50, 600


@dataclass(frozen=True)
class Size:
    """A project whose rows are spread evenly over devices, their variables and days."""

    rows: int
    devices: int
    variables: int
    days: int

    @property
    def series(self) -> int:
        """Return the number of series."""
        return self.devices * self.variables

    @property
    def each(self) -> int:
        """Return the number of rows per series and day."""
        return max(1, self.rows // (self.series * self.days))


def store(storage: Storage, size: Size) -> Manifest:
    """Store a snapshot of this size."""
    project = uuid.uuid4()

    def day(number: int) -> Segment:
        first = None if number == 0 else FIRST_DAY + number
        end = None if number == size.days - 1 else FIRST_DAY + number + 1
        table = _rows(size, number)
        covers = Coverage(ChunkRange(first, end), {FIRST_DAY + number: table.num_rows})
        return put(
            storage,
            encode(table, project_id=project, name="variable", digest=Digest(), covers=covers),
        )

    with ThreadPoolExecutor(2) as pool:
        days = list(pool.map(day, range(size.days)))
    series = put(storage, encode(_series(size), project_id=project, name="series", digest=Digest()))
    contents = [put(storage, item) for item in _contents(project, size)]
    manifest = Manifest(
        snapshot_id=uuid.uuid4(),
        project_id=project,
        prefix=PREFIX,
        taken_at=datetime.now(UTC),
        is_full=True,
        postgresql_version="18",
        schema_version=1,
        columns={"variable": ("time",), "series": ("id",)},
        segments=(series, *days),
        contents=tuple(contents),
        new_keys=frozenset(),
    )
    storage.put(manifest.key, manifest.to_json())
    return manifest


def put(storage: Storage, item: EncodedSegment) -> Segment:
    """Store an object."""
    storage.put(item.segment.key, item.content)
    return item.segment


def _rows(size: Size, day: int) -> pa.Table:
    random = np.random.default_rng(day)
    own = np.sort(random.integers(0, DAY // 1000, A_DAY)) * 1000
    readings = np.sort(random.integers(0, DAY // 1000, (size.devices, size.each)), axis=1) * 1000
    # The variables of a device report together; the very first one reports more often.
    steps = np.concatenate([own, np.repeat(readings, size.variables, axis=0).ravel()[size.each :]])
    series = np.repeat(
        np.arange(1, size.series + 1), [A_DAY, *([size.each] * (size.series - 1))]
    ).astype(np.int32)
    rows = len(series)
    times = pa.array((FIRST_DAY + day) * DAY + steps).cast(pa.timestamp("us", "UTC"))
    devices = (series - 1) // size.variables
    groups = [
        f"{device:012x}{step // 1000:012x}" for device, step in zip(devices, steps, strict=True)
    ]
    return pa.table(
        {
            "series_id": series,
            "time": times,
            "created_at": times,
            "number_value": np.round(20 + 10 * random.standard_normal(rows), 3),
            "text_value": pa.nulls(rows, pa.string()),
            "group_key": groups,
            "longitude": pa.nulls(rows, pa.float64()),
            "latitude": pa.nulls(rows, pa.float64()),
            "metadata": pa.nulls(rows, pa.string()),
            "id": np.arange(1, rows + 1) + day * rows,
        }
    )


def _series(size: Size) -> pa.Table:
    numbers = np.arange(size.series)
    return pa.table(
        {
            "id": (numbers + 1).astype(np.int32),
            "device_id": [f"{number:024x}" for number in numbers // size.variables],
            "variable": [f"variable_{number}" for number in numbers % size.variables],
            "type": ["number"] * size.series,
            "unit": ["C"] * size.series,
        }
    )


def _contents(project: uuid.UUID, size: Size) -> Iterator[EncodedSegment]:
    cells = pa.table(
        [
            np.repeat(np.arange(size.days, dtype=np.int32) + FIRST_DAY, size.devices),
            np.tile(np.arange(size.devices, dtype=np.int32) * size.variables + 1, size.days),
            np.full(size.days * size.devices, size.each * size.variables),
            np.zeros(size.days * size.devices, np.uint32),
        ],
        schema=CELL_SCHEMA,
    )
    first = EPOCH + timedelta(days=FIRST_DAY)
    last = first + timedelta(days=size.days) - timedelta(microseconds=1)
    yield from (encode_cells(project, *part) for part in keep_nothing().with_new(cells))
    yield encode_rows(
        project,
        DEVICES,
        [
            Device(f"{n:024x}", n * size.variables + 1, f"Truck {n}", size.variables, first, last)
            for n in range(size.devices)
        ],
    )
    yield encode_rows(project, EXCLUDED, [])


def opened(storage: Storage, key: str) -> DeviceRecords:
    """Open the device with the busy variable as a fresh process does."""
    manifest = Manifest.load(storage, key)
    devices = {device.device_id: device for device in read_devices(storage, manifest.contents)}
    return DeviceRecords(storage, manifest, devices["0" * 24], seconds=600)


def first_page(storage: Storage, key: str, size: Size) -> int:
    """Read the newest records."""
    records = opened(storage, key)
    page = records.newest(Selection(records.series), limit=LINES)
    return len(list(records_of(page.rows, records.series, PREFIX)))


def chart(storage: Storage, key: str, size: Size) -> int:
    """Chart the busy variable over all days; return the number of points."""
    records = opened(storage, key)
    period = Selection(records.series[:1], FIRST_DAY * DAY, (FIRST_DAY + size.days) * DAY)
    return len(chart_points(records, period, columns=COLUMNS).times)


def variables(storage: Storage, key: str, size: Size) -> int:
    """List first and last record and count of each variable; return the rows."""
    records = opened(storage, key)
    return sum(span.rows for span in records.spans(Selection(records.series)))


def export(storage: Storage, key: str, size: Size) -> int:
    """Export the device as CSV; return the bytes."""
    records = opened(storage, key)
    return sum(map(len, csv_pieces(records, Selection(records.series), PREFIX)))


CASES: dict[str, Callable[[Storage, str, Size], int]] = {
    "first page of records": first_page,
    "chart": chart,
    "variables": variables,
    "CSV": export,
}


@contextmanager
def places(folder: Path) -> Iterator[dict[str, Storage]]:
    """Yield the storages to read from, all with the content of the first."""
    with s3_server(folder) as endpoint:
        local = open_storage(f"file://{folder / BUCKET / 'open'}")
        sealed = open_storage(f"file://{folder / BUCKET / 'sealed'}")
        yield {
            "folder": local,
            "folder, encrypted": sealed.encrypted(ProjectCipher(sealed, KEYS)),
            "S3 on loopback": open_storage(bucket_url(endpoint, "open")),
        }


def measure(size: Size) -> dict[str, Any]:
    """Return the median and best seconds of each case, and the memory it adds."""
    with tempfile.TemporaryDirectory() as name, places(Path(name)) as storages:
        local = storages["folder"]
        manifest = store(local, size)
        for item in list(local.list("")):
            storages["folder, encrypted"].put(item.key, local.get(item.key))
        result: dict[str, Any] = {
            "rows": manifest.rows,
            "points of the chart": A_DAY * size.days,
            "segments": len(manifest.of("variable")),
            "stored_bytes": manifest.stored_bytes,
        }
        for place, storage in storages.items():
            for case, work in CASES.items():
                result[f"{case}, {place}"] = _timed(lambda: work(storage, manifest.key, size))  # noqa: B023
        return result


def _timed(work: Callable[[], int]) -> dict[str, float]:
    grown, seconds, used = peak_growth(), [], []
    for _ in range(ROUNDS):
        begun, cpu = time.perf_counter(), time.process_time()
        found = work()
        seconds.append(time.perf_counter() - begun)
        used.append(time.process_time() - cpu)
    return {
        "median s": round(statistics.median(seconds), 3),
        "best s": round(min(seconds), 3),
        "processor s": round(statistics.median(used), 3),
        "peak MB": round(grown() / 1e6, 1),
        "found": found,
    }


def main(arguments: list[str]) -> None:
    parser = parser_of("benchmarks.lookinside", __doc__, rows=20_000_000)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--variables", type=int, default=5)
    parser.add_argument("--days", type=int, default=200)
    options = parser.parse_args(arguments)
    size = Size(options.rows, options.devices, options.variables, options.days)
    result = {**measure(size), "machine": str(Machine.now("of no use here"))}
    for name, value in result.items():
        console_of(options).print(f"{name}: {value}", highlight=False)
    print_json(options, **result)


if __name__ == "__main__":
    main(sys.argv[1:])
