"""What the engine is measured against: PostgreSQL's own tools, and the floor under any reader."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg import sql

from backups_portal.projectdb.catalogue import RESOURCE_TABLES, VARIABLE, Table
from backups_portal.projectdb.database_url import database_url
from snapshots.engine.manifest import Manifest
from snapshots.engine.source_database import chunk_start
from tests.benchmarks.cluster import Cluster, Source
from tests.benchmarks.machine import folder_bytes

CUSTOM = "pg_dump -Fc"
Bounds = tuple[int | None, int | None]


@dataclass(frozen=True)
class Outcome:
    """What a tool needed, and how much it stored.

    Attributes:
        cpu: Processor time in seconds, its own and the server's.
    """

    seconds: float
    cpu: float
    stored_bytes: int = 0


def measured(cluster: Cluster, work: Callable[[], object]) -> Outcome:
    """What it took."""
    cpu = _own_cpu() + cluster.cpu()
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    return Outcome(seconds, _own_cpu() + cluster.cpu() - cpu)


def _own_cpu() -> float:
    """Processor time of this process and of the programs that it has run."""
    times = os.times()
    return sum(times[:4])


def run(*command: str) -> None:
    """Run a program; what it says on the way is of no interest unless it fails."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _dump_command(source: Source, *options: str) -> list[str]:
    # Nobody waits for the disk here: neither the peers nor, on local folders, the engine.
    return [source.cluster.program("pg_dump"), "--no-sync", *options, f"--dbname={source.dsn}"]


def dump(source: Source, target: Path, *options: str) -> Outcome:
    """pg_dump into a file or folder."""
    command = _dump_command(source, *options, f"--file={target}")
    outcome = measured(source.cluster, lambda: run(*command))
    return replace(outcome, stored_bytes=folder_bytes(target))


def dump_command(source: Source, target: Path) -> list[str]:
    """pg_dump as most people run it: one reader, gzip."""
    return _dump_command(source, "--format=custom", f"--file={target}")


def has_zstd() -> bool:
    """Whether the compressor that a dump is piped through is installed."""
    return shutil.which("zstd") is not None


def dump_through(source: Source, command: list[str], target: Path | None = None) -> Outcome:
    """An uncompressed dump piped through another program."""

    def pipe() -> None:
        reader = subprocess.Popen(
            _dump_command(source, "--format=custom", "--compress=0"), stdout=subprocess.PIPE
        )
        ran = subprocess.run(command, stdin=reader.stdout, stdout=subprocess.DEVNULL)
        if reader.stdout:
            reader.stdout.close()
        if reader.wait() or ran.returncode:
            raise subprocess.CalledProcessError(reader.returncode or ran.returncode, command)

    outcome = measured(source.cluster, pipe)
    return replace(outcome, stored_bytes=folder_bytes(target) if target else 0)


def restore(cluster: Cluster, archive: Path) -> Outcome:
    """pg_restore with two jobs into a new database, ready to query."""
    with cluster.scratch_database() as dsn:
        return measured(cluster, lambda: _restore(cluster, archive, dsn))


def _restore(cluster: Cluster, archive: Path, dsn: str) -> None:
    name = sql.Identifier(psycopg.conninfo.conninfo_to_dict(dsn)["dbname"] or "")
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
    run(cluster.program("pg_restore"), "--jobs=2", f"--dbname={dsn}", str(archive))


def floor(source: Source, manifest: Manifest, readers: int) -> Outcome:
    """Binary COPY to nowhere: no reader of these rows can be faster.

    As many readers as the engine has share one exported snapshot; they copy the columns and the
    ranges of chunks that the engine read for this manifest. Each is psql, in C, whose output is
    /dev/null: it takes each row from the socket and hands it to a write that does nothing.
    """
    with psycopg.connect(source.dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        instant = str(row[0]) if row else ""
        scripts = [_script(instant, part) for part in _shares(manifest, readers)]
        return measured(source.cluster, lambda: _copy_all(source, scripts))


def _copy_all(source: Source, scripts: list[str]) -> None:
    running = [_start_copy(source, script) for script in scripts]
    if codes := [code for process in running if (code := process.wait())]:
        raise subprocess.CalledProcessError(codes[0], "psql")


def _shares(manifest: Manifest, readers: int) -> list[list[str]]:
    """The statements of each reader, so that all have about as many rows to copy."""
    rows: dict[Bounds, int] = {}
    for segment in manifest.of(VARIABLE.name):
        bounds = (segment.first_chunk, segment.end_chunk)
        rows[bounds] = rows.get(bounds, 0) + segment.rows
    shares: list[list[str]] = [[] for _ in range(readers)]
    loads = [0] * readers
    for bounds, count in rows.items():
        least = loads.index(min(loads))
        shares[least].append(_copy(VARIABLE, bounds))
        loads[least] += count
    shares[0] += [_copy(table, (None, None)) for table in RESOURCE_TABLES]
    return shares


def _copy(table: Table, bounds: Bounds) -> str:
    columns = sql.SQL(", ").join(map(sql.Identifier, table.stored()))
    query = sql.SQL("SELECT {} FROM {} WHERE true").format(columns, sql.Identifier(table.name))
    for operator, chunk in zip((">=", "<"), bounds, strict=True):
        if chunk is not None:
            query += sql.SQL(f" AND time {operator} {{}}").format(
                sql.Literal(chunk_start(chunk).isoformat())
            )
    return sql.SQL("COPY ({}) TO STDOUT (FORMAT binary);").format(query).as_string()


def _script(instant: str, statements: list[str]) -> str:
    return "\n".join(
        [
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;",
            f"SET TRANSACTION SNAPSHOT '{instant}';",
            "SET LOCAL max_parallel_workers_per_gather = 0;",
            *statements,
            "COMMIT;",
        ]
    )


def _start_copy(source: Source, script: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [
            source.cluster.program("psql"),
            *("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={source.dsn}"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    if process.stdin:
        process.stdin.write(script.encode())
        process.stdin.close()
    return process


def server_version(url: str) -> str:
    """The version of the server, in short."""
    with psycopg.connect(database_url(url, database="postgres")) as connection:
        return str(connection.info.parameter_status("server_version"))
