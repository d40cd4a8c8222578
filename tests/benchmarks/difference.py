"""How long two stored snapshots take to compare: `python -m tests.benchmarks.difference`.

The snapshots are synthetic: manifest and contents are those of a project of the given size, and
segments, which nobody opens, there are none.
"""

import argparse
import hashlib
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from snapshots.engine.contents_index import (
    Device,
    encode_cells,
    encode_devices,
    encode_excluded,
    keep_nothing,
)
from snapshots.engine.day_device_counts import CELL_SCHEMA, rows_by_chunk
from snapshots.engine.diff_inputs import find_difference, stored_state
from snapshots.engine.difference import Difference
from snapshots.engine.layout import segment_key
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.storage import Storage, open_storage

FIRST_DAY = 20_000
ROUNDS = 5
DIGEST = "0" * 32
# What the cells of a second snapshot have for digests, beside those of the first.
Digests = npt.NDArray[np.uint32]
CASES: dict[str, Callable[[Digests, int], Digests]] = {
    "the newest day": lambda digests, devices: np.r_[digests[:-devices], ~digests[-devices:]],
    "every hundredth cell": lambda digests, _: np.where(
        np.arange(len(digests)) % 100, digests, ~digests
    ),
    "everything": lambda digests, _: ~digests,
}


def store(
    storage: Storage, project_id: uuid.UUID, digests: Digests, *, devices: int, days: int, rows: int
) -> Manifest:
    """A snapshot without segments, whose cells have these digests, day by day."""
    cells = pa.table(
        [
            np.repeat(np.arange(days, dtype=np.int32) + FIRST_DAY, devices),
            np.tile(np.arange(devices, dtype=np.int32) * 5 + 1, days),
            np.full(days * devices, rows // (days * devices)),
            digests,
        ],
        schema=CELL_SCHEMA,
    )
    encoded = [
        *(encode_cells(project_id, *part) for part in keep_nothing().with_new(cells)),
        encode_devices(
            project_id,
            [Device(f"{n:024x}", n * 5 + 1, f"Truck {n}", 5, None, None) for n in range(devices)],
        ),
        encode_excluded(project_id, []),
    ]
    for item in encoded:
        storage.put(item.segment.key, item.content)
    rows_by_day = sorted(rows_by_chunk(cells).items())
    # The first and the last reach to the ends of time.
    bounds = [None, *(day for day, _ in rows_by_day[1:]), None]
    segments = [
        _segment(project_id, {day: count}, first, end)
        for (day, count), first, end in zip(rows_by_day, bounds, bounds[1:], strict=False)
    ]
    manifest = Manifest(
        snapshot_id=uuid.uuid4(),
        project_id=project_id,
        prefix="0" * 8,
        taken_at=datetime.now(UTC),
        is_full=True,
        postgresql_version="18",
        schema_version=1,
        columns={"variable": ("time",)},
        segments=tuple(segments),
        contents=tuple(item.segment for item in encoded),
        new_keys=frozenset(),
    )
    storage.put(manifest.key, manifest.to_json())
    return manifest


def _segment(
    project_id: uuid.UUID, chunk_rows: dict[int, int], first: int | None, end: int | None
) -> Segment:
    rows = sum(chunk_rows.values())
    sha256 = hashlib.sha256(repr(chunk_rows).encode()).hexdigest()
    key = segment_key(project_id, sha256)
    return Segment("variable", key, sha256, rows, 1, 1, DIGEST, first, end, chunk_rows)


def compare(storage: Storage, *keys: str) -> Difference:
    """What a page does."""
    return find_difference(storage, *(stored_state(storage, _load(storage, key)) for key in keys))


def _load(storage: Storage, key: str) -> Manifest:
    return Manifest.load(storage, key)


def measure(*, rows: int, devices: int, days: int) -> dict[str, Any]:
    """Median seconds of each case, and the bytes of the contents."""
    digests = np.random.default_rng(1).integers(0, 1 << 32, days * devices, dtype=np.uint32)
    size = {"devices": devices, "days": days, "rows": rows}
    with tempfile.TemporaryDirectory() as folder:
        storage, project_id = open_storage(f"file://{folder}"), uuid.uuid4()
        first = store(storage, project_id, digests, **size)
        result: dict[str, Any] = {
            **size,
            "contents_bytes": sum(item.bytes for item in first.contents),
            "manifest_bytes": len(first.to_json()),
        }
        for name, change in CASES.items():
            second = store(storage, project_id, change(digests, devices), **size)
            seconds = []
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                found = compare(storage, first.key, second.key)
                seconds.append(time.perf_counter() - begun)
            result[name] = {
                "seconds": round(statistics.median(seconds), 4),
                "days": len(found.chunks),
                "devices": len(found.devices),
            }
    return result


def main() -> None:
    """Run from a terminal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--days", type=int, default=126)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = vars(parser.parse_args())
    as_json = options.pop("json")
    result = measure(**options)
    lines = [f"{name}: {value}" for name, value in result.items()]
    print(json.dumps(result, indent=1) if as_json else "\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    main()
