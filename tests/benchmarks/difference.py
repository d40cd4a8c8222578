"""Time the comparison of two stored snapshots: `python -m tests.benchmarks.difference`.

The snapshots are synthetic: manifest and contents are those of a project of the given size, but
they have no segments, which a comparison never opens.
"""

import sys
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from snapshots.engine.contents_index import (
    DEVICES,
    EXCLUDED,
    Device,
    encode_cells,
    encode_rows,
    keep_nothing,
)
from snapshots.engine.day_device_counts import CELL_SCHEMA, rows_by_chunk
from snapshots.engine.diff_inputs import find_difference, stored_state
from snapshots.engine.difference import Difference
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage, open_storage
from tests.benchmarks.harness import Samples, console_of, parser_of, print_json
from tests.manifests import make_manifest, make_segment

FIRST_DAY = 20_000
# The digests of the second snapshot's cells, made from those of the first.
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
    """Store a snapshot without segments whose cells have these digests by day."""
    cells = pa.table(
        [
            np.repeat(np.arange(days, dtype=np.int32) + FIRST_DAY, devices),
            np.tile(np.arange(devices, dtype=np.int32) * 5 + 1, days),
            np.full(days * devices, rows // (days * devices)),
            digests,
        ],
        schema=CELL_SCHEMA,
    )
    trucks = [Device(f"{n:024x}", n * 5 + 1, f"Truck {n}", 5, None, None) for n in range(devices)]
    encoded = [
        *(encode_cells(project_id, *part) for part in keep_nothing().with_new(cells)),
        encode_rows(project_id, DEVICES, trucks),
        encode_rows(project_id, EXCLUDED, []),
    ]
    for item in encoded:
        storage.put(item.segment.key, item.content)
    rows_by_day = sorted(rows_by_chunk(cells).items())
    # The first and the last range are unbounded.
    bounds = [None, *(day for day, _ in rows_by_day[1:]), None]
    segments = [
        replace(make_segment(project_id, f"{day}", {day: count}), first_chunk=first, end_chunk=end)
        for (day, count), first, end in zip(rows_by_day, bounds, bounds[1:], strict=False)
    ]
    contents = tuple(item.segment for item in encoded)
    manifest = make_manifest(project_id, segments=tuple(segments), contents=contents)
    storage.put(manifest.key, manifest.to_json())
    return manifest


def compare(storage: Storage, *keys: str) -> Difference:
    """Compare two snapshots as a page does."""
    manifests = [Manifest.load(storage, key) for key in keys]
    return find_difference(storage, *(stored_state(storage, one) for one in manifests))


def measure(*, rows: int, devices: int, days: int, rounds: int = 1) -> dict[str, Any]:
    """Return the median seconds of each case, and the bytes of the contents."""
    digests = np.random.default_rng(1).integers(0, 1 << 32, days * devices, dtype=np.uint32)
    size, samples = {"devices": devices, "days": days, "rows": rows}, Samples()
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
            for _ in range(rounds):
                with samples.clock(name):
                    found = compare(storage, first.key, second.key)
            result[name] = {
                "seconds": round(samples.median(f"{name} s") or 0, 4),
                "days": len(found.chunks),
                "devices": len(found.devices),
            }
    return result


def main(arguments: list[str]) -> None:
    parser = parser_of("benchmarks.difference", __doc__, rows=20_000_000, rounds=5)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--days", type=int, default=126)
    options = parser.parse_args(arguments)
    size = {name: getattr(options, name) for name in ("rows", "devices", "days", "rounds")}
    result = measure(**size)
    for name, value in result.items():
        console_of(options).print(f"{name}: {value}", highlight=False)
    print_json(options, **result)


if __name__ == "__main__":
    main(sys.argv[1:])
