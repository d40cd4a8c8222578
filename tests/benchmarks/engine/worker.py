"""One worker task in a separate process, so that its memory can be measured alone.

Reads a request (a line of JSON), runs it and writes its result and costs. Python's start and the
imports, which a Celery worker has done long before its first task, end before the request is read.
"""

import json
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg

from backups_portal.projectdb import provisioning
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.sealed_databases import close_database, take_over_database
from backups_portal.projectdb.tokens import renew_tokens
from restores import compared_build, snapshot_loader
from restores.snapshot_loader import Target
from snapshots.engine import snapshot_writer
from snapshots.engine.encryption import MasterKeys, ProjectCipher
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage, open_storage
from tests.benchmarks.engine.profiling import profiled
from tests.benchmarks.machine import (
    INSTALLATION,
    own_peak_bytes,
    resident_bytes,
    tree_cpu_seconds,
)
from tests.projectdatabases import KEYS, quiet
from tests.restore_parts import load_snapshot

ROOT = Path(__file__).resolve().parents[3]
LOOK_EVERY = 0.05
MASTERS = MasterKeys({"benchmark": b"m" * 32})
READY = "ready"
Request = dict[str, Any]


class Task:
    """A running worker task, as the benchmark sees it."""

    def __init__(self, task: str, **request: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.engine.worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._answer() != READY:
            raise RuntimeError("the worker did not say that it is ready")
        if self._process.stdin:
            self._process.stdin.write(json.dumps({"task": task, **request}) + "\n")
            self._process.stdin.close()

    def _answer(self) -> str:
        line = self._process.stdout.readline().strip() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"the worker ended with exit code {self._process.wait()}")
        return line

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def finish(self) -> dict[str, Any]:
        """Wait for the task's result; "peak_bytes" includes its child processes.

        Raises:
            RuntimeError: It failed; its traceback has been printed.
        """
        peak = 0
        while self.is_running:
            peak = max(peak, resident_bytes(self._process.pid))
            time.sleep(LOOK_EVERY)
        result = json.loads(self._answer())
        return {**result, "peak_bytes": max(peak, result["peak_bytes"])}


def snapshot(request: Request, storage: Storage, base: Manifest | None) -> Request:
    """Take a snapshot: {dsn, project_id, threads}."""
    started = time.perf_counter()
    manifest = snapshot_writer.take_snapshot(
        snapshot_writer.Source(request["dsn"], request["threads"], base),
        snapshot_writer.Destination(storage, uuid.UUID(request["project_id"]), uuid.uuid4()),
        snapshot_writer.Listener(quiet),
    )
    return {"seconds": time.perf_counter() - started, "manifest": manifest.key}


def restore(request: Request, storage: Storage, manifest: Manifest) -> Request:
    """Restore into a new database, ready for queries, without a proof: {server, threads}."""
    started = time.perf_counter()
    target = new_database(request["server"])
    load_snapshot(
        manifest, storage, target, keys=KEYS, loaders=request["threads"], on_progress=quiet
    )
    return {"seconds": time.perf_counter() - started, "prefix": target.prefix}


def prove(request: Request, storage: Storage, manifest: Manifest) -> Request:
    """Restore into a new database and compare every row in parallel: {server, threads}."""
    started, threads = time.perf_counter(), request["threads"]
    target = new_database(request["server"])
    bare = snapshot_loader.load_rows(
        manifest, storage, target, keys=KEYS, loaders=threads, on_progress=quiet
    )
    compared_build.complete_and_compare(manifest, target, bare, workers=threads, on_progress=quiet)
    return {"seconds": time.perf_counter() - started, "prefix": target.prefix}


def new_database(server: str) -> Target:
    prefix = secrets.token_hex(4)
    provisioning.create_database(
        server, prefix=prefix, password="", project_name="Restore", installation=INSTALLATION
    )
    return Target(database_url(server, database=provisioning.database_name(prefix)), prefix)


def take_over(server: str, old: str) -> float:
    """Hand a proof's database to another project; return the seconds until it answers."""
    new = secrets.token_hex(4)
    try:
        seal = close_database(server, prefix=old)
        started = time.perf_counter()
        take_over_database(
            server, old=old, new=new, password="unused", seal=seal, installation=INSTALLATION
        )
        url = database_url(server, database=provisioning.database_name(new))
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE instance SET prefix = %s", [new])
            renew_tokens(connection, prefix=new, keys=KEYS)
            connection.commit()
            connection.execute("SELECT * FROM variable_record LIMIT 1").fetchone()
        return time.perf_counter() - started
    finally:
        for prefix in (old, new):
            provisioning.drop_database(server, prefix=prefix)


TASKS: dict[str, Callable[..., Request]] = {
    "snapshot": snapshot,
    "restore": restore,
    "prove": prove,
}


def main() -> None:
    """Run one task: {task, storage, encrypted, manifest, profile, postmaster, …}."""
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()
    request = json.loads(sys.stdin.readline())
    storage, postmaster = open_storage(request["storage"]), request["postmaster"]
    if request["encrypted"]:
        storage = storage.encrypted(ProjectCipher(storage, MASTERS))
    manifest = Manifest.load(storage, request["manifest"]) if request["manifest"] else None
    before = time.process_time() + tree_cpu_seconds(postmaster)
    with profiled(wanted=request["profile"], postmaster=postmaster) as profile:
        result = TASKS[request["task"]](request, storage, manifest)
    if prefix := result.get("prefix"):
        result["warm_seconds"] = take_over(request["server"], prefix)
    result["profile"] = [asdict(part) for part in profile]
    result["cpu"] = time.process_time() + tree_cpu_seconds(postmaster) - before
    sys.stdout.write(json.dumps({**result, "peak_bytes": own_peak_bytes()}) + "\n")


if __name__ == "__main__":
    main()
