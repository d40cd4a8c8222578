"""Measure the memory that long texts take in a snapshot, a restore and its proof.

`python -m tests.benchmarks.texts --kind text --megabytes 200 --length 2000`
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from snapshots.engine.storage import open_storage
from tests.benchmarks.harness import Samples, parser_of
from tests.benchmarks.machine import INSTALLATION, own_peak_bytes
from tests.benchmarks.servers import running_cluster
from tests.projectdatabases import KEYS, Backups, add_device, main_database, open_database, quiet
from tests.restore_parts import compare_with_manifest, load_snapshot

# Texts whose length varies between rows by up to a fifth, in one day or one table.
TEXTS = """
WITH texts AS (
    SELECT number, repeat(md5(number::text), %(length)s / 32 - mod(number, %(length)s / 160 + 1))
        AS text
    FROM generate_series(1, %(count)s) AS number)
"""
FILL = {
    "text": """INSERT INTO variable (series_id, time, text_value, group_key)
        SELECT 1, timestamptz '2026-01-01Z' + number * interval '1 ms', text, 'g' FROM texts""",
    "metadata": """INSERT INTO variable (series_id, time, group_key, metadata)
        SELECT 1, timestamptz '2026-01-01Z' + number * interval '1 ms', 'g',
               json_build_object('note', text) FROM texts""",
    "dashboard": """INSERT INTO dashboard (id, label, settings)
        SELECT lpad(to_hex(number), 24, '0'), 'Map', jsonb_build_object('note', text)
        FROM texts""",
}


def measure(server: str, kind: str, megabytes: int, length: int) -> dict[str, float]:
    """Take, restore and prove; return each step's seconds and the peak bytes until then."""
    samples = Samples()

    @contextmanager
    def measured(name: str) -> Iterator[None]:
        with samples.clock(name):
            yield
        samples.record(name, peak_bytes=own_peak_bytes())

    with ExitStack() as stack:
        source, target = (
            stack.enter_context(main_database(server, INSTALLATION)) for _ in range(2)
        )
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        storage = open_storage(f"file://{folder}/storage")
        with open_database(source) as connection:
            add_device(connection)
            rows = max(1, megabytes * 1_000_000 * 10 // (9 * length))
            statement = (TEXTS + FILL[kind]).encode()
            connection.execute(statement, {"length": length, "count": rows})
        samples.record("start", peak_bytes=own_peak_bytes())
        with measured("snapshot"):
            manifest = Backups(source, storage).take()
        with measured("restore"):
            load_snapshot(manifest, storage, target, keys=KEYS, loaders=2, on_progress=quiet)
        with measured("proof"):
            compare_with_manifest(manifest, target, readers=2, on_progress=quiet)
    found = {name: round(value, 2) for name, (value,) in samples.values.items()}
    return {**found, "logical bytes": manifest.logical_bytes, "segments": len(manifest.segments)}


def main(arguments: list[str]) -> None:
    parser = parser_of("benchmarks.texts", __doc__)
    parser.add_argument("--kind", choices=sorted(FILL), default="text")
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--length", type=int, default=2_000, help="bytes of the longest text")
    options = parser.parse_args(arguments)
    with running_cluster() as cluster:
        found = measure(cluster.url, options.kind, options.megabytes, options.length)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
