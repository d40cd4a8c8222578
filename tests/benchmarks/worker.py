"""One task of a worker, in a process of its own, so that its memory is its own too.

Reads a request (a line of JSON), does it and writes what it took. Starting Python and importing,
which a Celery worker has done long before its first task, is over before the request is read.
"""

import json
import secrets
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import psycopg

from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.provisioning import create_database, database_name, drop_database
from backups_portal.projectdb.sealed_databases import close_database, take_over_database
from backups_portal.projectdb.tokens import renew_tokens
from restores import proof_check, snapshot_loader
from restores.snapshot_loader import Target
from snapshots.engine import snapshot_writer
from snapshots.engine.encryption import MasterKeys, ProjectCipher
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage, open_storage
from tests.benchmarks.machine import INSTALLATION, own_peak_bytes, tree_cpu_seconds
from tests.benchmarks.profiling import profiled

KEYS = Keyring(b"k" * 32)
MASTERS = MasterKeys({"benchmark": b"m" * 32})
Request = dict[str, Any]
READY = "ready"


def quiet(_: object) -> None:
    """Progress that nobody looks at."""


def storage_of(request: Request) -> Storage:
    """The storage, encrypted where that is asked for."""
    storage = open_storage(request["storage"])
    return storage.encrypted(ProjectCipher(storage, MASTERS)) if request["encrypted"] else storage


def snapshot(request: Request) -> Request:
    """Take a snapshot: {dsn, storage, encrypted, project_id, base, readers}."""
    storage = storage_of(request)
    base = Manifest.load(storage, request["base"]) if request["base"] else None
    with profiled(wanted=request["profile"], postmaster=request["postmaster"]) as profile:
        started = time.perf_counter()
        manifest = snapshot_writer.take_snapshot(
            snapshot_writer.Source(request["dsn"], request["readers"], base),
            snapshot_writer.Destination(storage, uuid.UUID(request["project_id"]), uuid.uuid4()),
            snapshot_writer.Listener(quiet),
        )
        seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "manifest": manifest.key,
        "rows": manifest.rows,
        "profile": [asdict(part) for part in profile],
    }


def restore(request: Request) -> Request:
    """Restore into a new database, prove it, keep it and take it over: {server, storage, encrypted,
    manifest, loaders}; everything is dropped then."""
    storage = storage_of(request)
    manifest = Manifest.load(storage, request["manifest"])
    cold, warm = secrets.token_hex(4), secrets.token_hex(4)
    try:
        return {
            **_restore(request, storage, manifest, cold),
            "warm_seconds": _take_over(request["server"], cold, warm),
        }
    finally:
        drop_database(request["server"], prefix=cold)
        drop_database(request["server"], prefix=warm)


def _restore(request: Request, storage: Storage, manifest: Manifest, prefix: str) -> Request:
    with profiled(wanted=request["profile"], postmaster=request["postmaster"]) as profile:
        started = time.perf_counter()
        create_database(
            request["server"],
            prefix=prefix,
            password="unused",
            project_name="Restore",
            installation=INSTALLATION,
        )
        target = Target(database_url(request["server"], database=database_name(prefix)), prefix)
        snapshot_loader.load_snapshot(
            manifest,
            storage,
            target,
            keys=KEYS,
            loaders=request["loaders"],
            on_progress=quiet,
        )
        loaded = time.perf_counter()
        proof_check.compare_with_manifest(
            manifest, target, readers=request["loaders"], on_progress=quiet
        )
        proven = time.perf_counter()
    return {
        "seconds": loaded - started,
        "proof_seconds": proven - loaded,
        "rows": manifest.rows,
        "profile": [asdict(part) for part in profile],
    }


def _take_over(server: str, old: str, new: str) -> float:
    """Seconds until what a proof has left answers a query as another project's."""
    seal = close_database(server, prefix=old)
    started = time.perf_counter()
    take_over_database(
        server, old=old, new=new, password="unused", seal=seal, installation=INSTALLATION
    )
    with psycopg.connect(database_url(server, database=database_name(new))) as connection:
        connection.execute("UPDATE instance SET prefix = %s", [new])
        renew_tokens(connection, prefix=new, keys=KEYS)
        connection.commit()
        connection.execute("SELECT * FROM variable_record LIMIT 1").fetchone()
    return time.perf_counter() - started


TASKS: dict[str, Callable[[Request], Request]] = {"snapshot": snapshot, "restore": restore}


def main() -> None:
    """Do one task."""
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()
    request = json.loads(sys.stdin.readline())
    before = time.process_time() + tree_cpu_seconds(request["postmaster"])
    result = TASKS[request["task"]](request)
    cpu = time.process_time() + tree_cpu_seconds(request["postmaster"]) - before
    sys.stdout.write(json.dumps({**result, "cpu": cpu, "peak_bytes": own_peak_bytes()}) + "\n")


if __name__ == "__main__":
    main()
