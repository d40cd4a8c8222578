"""How much memory long texts take in a snapshot, a restore and its proof.

`python -m tests.benchmarks.texts --kind text --megabytes 200 --length 2000`
"""

import argparse
import json
import secrets
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.provisioning import create_database, database_name, drop_database
from restores.proof_check import compare_with_manifest
from restores.snapshot_loader import Target, load_snapshot
from snapshots.engine.manifest import Manifest
from snapshots.engine.snapshot_writer import Destination, Listener, Source, take_snapshot
from snapshots.engine.storage import open_storage
from tests.benchmarks.cluster import running_cluster
from tests.benchmarks.machine import INSTALLATION

DEVICE = """
INSERT INTO device (id, name, type) VALUES (repeat('d', 24), 'Truck', 'mutable');
INSERT INTO series (id, device_id, variable, type) VALUES (1, repeat('d', 24), 'note', 'string')
"""
# Texts of a length that differs from row to row by up to a fifth, of one day or one table.
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
TEXTS = """
WITH texts AS (
    SELECT number, repeat(md5(number::text), %(length)s / 32 - mod(number, %(length)s / 160 + 1))
        AS text
    FROM generate_series(1, %(count)s) AS number)
"""


@contextmanager
def _database(server: str) -> Iterator[Target]:
    prefix = secrets.token_hex(4)
    create_database(
        server,
        prefix=prefix,
        password="unused",
        project_name="Texts",
        installation=INSTALLATION,
    )
    try:
        yield Target(database_url(server, database=database_name(prefix)), prefix)
    finally:
        drop_database(server, prefix=prefix)


def _fill(source: Target, kind: str, megabytes: int, length: int) -> None:
    values = {"length": length, "count": max(1, megabytes * 1_000_000 * 10 // (9 * length))}
    with psycopg.connect(source.dsn) as connection:
        connection.execute(DEVICE)
        connection.execute((TEXTS + FILL[kind]).encode(), values)


def _peak_bytes() -> int:
    """Read the most memory of this process; getrusage has that of the one that began it, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split(maxsplit=1)[0])


def measure(server: str, kind: str, megabytes: int, length: int) -> dict[str, Any]:
    """Take, restore and prove; seconds of each, and the most memory until then in bytes."""
    found: dict[str, Any] = {}

    def clock(name: str, work: Callable[[], Any]) -> Any:
        begun = time.monotonic()
        result = work()
        found[f"{name} s"] = round(time.monotonic() - begun, 2)
        found[f"{name} peak bytes"] = _peak_bytes()
        return result

    with ExitStack() as stack:
        source, target = (stack.enter_context(_database(server)) for _ in range(2))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        storage = open_storage(f"file://{folder}/storage")
        _fill(source, kind, megabytes, length)
        clock("start", lambda: None)
        manifest: Manifest = clock(
            "snapshot",
            lambda: take_snapshot(
                Source(source.dsn, readers=2),
                Destination(storage, uuid.uuid4(), uuid.uuid4()),
                Listener(_quiet),
            ),
        )
        keys = Keyring(b"k" * 32)
        clock(
            "restore",
            lambda: load_snapshot(
                manifest, storage, target, keys=keys, loaders=2, on_progress=_quiet
            ),
        )
        clock(
            "proof",
            lambda: compare_with_manifest(manifest, target, readers=2, on_progress=_quiet),
        )
    return {**found, "logical bytes": manifest.logical_bytes, "segments": len(manifest.segments)}


def _quiet(_: object) -> None:
    """Nobody looks."""


def main(arguments: list[str]) -> None:
    """Run the benchmark, and print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=sorted(FILL), default="text")
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--length", type=int, default=2_000, help="bytes of the longest text")
    parser.add_argument("--server", default="", help="in place of a cluster of its own")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        server = options.server or stack.enter_context(running_cluster()).url
        found = measure(server, options.kind, options.megabytes, options.length)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
