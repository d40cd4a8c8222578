"""The engine's peers: PostgreSQL's tools, and the lower bound for any reader."""

import os
import secrets
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
from snapshots.engine.source_database import chunk_start
from tests.benchmarks.engine.setup import Setup
from tests.benchmarks.fleet import scalar
from tests.benchmarks.machine import folder_bytes
from tests.benchmarks.servers import execute

CUSTOM, DIRECTORY = "pg_dump -Fc", "pg_dump -Fd -j2 -Z1"
PIPED, RESTIC = "pg_dump -Fc -Z0 | zstd", "pg_dump -Fc -Z0 | restic"
UNCOMPRESSED = ("--format=custom", "--compress=0")


@dataclass(frozen=True)
class Outcome:
    """A tool's time, and the bytes it stored.

    Attributes:
        cpu: Processor time in seconds, of the tool and the server.
    """

    seconds: float
    cpu: float
    stored_bytes: int = 0


def measured(setup: Setup, work: Callable[[], object]) -> Outcome:
    def cpu() -> float:
        # This process, the programs that it has run, and the server.
        return sum(os.times()[:4]) + setup.cluster.cpu()

    setup.cluster.settle()
    before, started = cpu(), time.perf_counter()
    work()
    return Outcome(time.perf_counter() - started, cpu() - before)


def run(*command: str) -> None:
    """Run a program, and show its output only if it fails."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def dump_command(setup: Setup, *options: str) -> list[str]:
    """Return the pg_dump command, without fsync as the engine on local folders."""
    program = setup.cluster.program("pg_dump")
    return [program, "--no-sync", *options, f"--dbname={setup.source.dsn}"]


def dump(setup: Setup, target: Path, *options: str) -> Outcome:
    command = dump_command(setup, *options, f"--file={target}")
    outcome = measured(setup, lambda: run(*command))
    return replace(outcome, stored_bytes=folder_bytes(target))


def dump_through(setup: Setup, command: list[str], target: Path) -> Outcome:
    def pipe() -> None:
        reader = subprocess.Popen(dump_command(setup, *UNCOMPRESSED), stdout=subprocess.PIPE)
        ran = subprocess.run(command, stdin=reader.stdout, stdout=subprocess.DEVNULL)
        if reader.stdout:
            reader.stdout.close()
        _check(command[0], reader.wait(), ran.returncode)

    before = folder_bytes(target)
    outcome = measured(setup, pipe)
    return replace(outcome, stored_bytes=folder_bytes(target) - before)


def dump_into_zstd(setup: Setup, target: Path) -> Outcome:
    return dump_through(setup, ["zstd", "--quiet", "-o", str(target)], target)


class Restic:
    def __init__(self, setup: Setup, repository: Path) -> None:
        os.environ.setdefault("RESTIC_PASSWORD", secrets.token_hex(8))
        self._setup, self._repository = setup, repository
        self._command = ["restic", "--quiet", "--repo", str(repository)]
        run(*self._command, "init")

    def back_up(self) -> Outcome:
        command = [*self._command, "--no-cache", "backup", "--stdin"]
        return dump_through(self._setup, command, self._repository)


def restore(setup: Setup, archive: Path) -> Outcome:
    """Run pg_restore with two jobs into a new database, ready for queries."""
    url, name = setup.cluster.url, f"scratch_{secrets.token_hex(4)}"
    program = setup.cluster.program("pg_restore")

    def work() -> None:
        execute(url, f"CREATE DATABASE {name} TEMPLATE template0")
        run(program, "--jobs=2", f"--dbname={database_url(url, database=name)}", str(archive))

    try:
        return measured(setup, work)
    finally:
        execute(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def is_installed(name: str) -> bool:
    return shutil.which(name) is not None


def versions() -> dict[str, str]:
    """Return the versions of third-party peers; PostgreSQL's tools have the server's."""
    commands = {"zstd": ["zstd", "--version"], "restic": ["restic", "version"]}
    return {
        name: subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        for name, command in commands.items()
        if is_installed(name)
    }


def floor(setup: Setup) -> Outcome:
    """Time a binary COPY to nowhere: no reader of these rows can be faster.

    Its readers, as many as the engine's, share one exported snapshot; they copy the columns and the
    ranges of chunks that the engine read for its newest manifest. Each is psql, in C, whose output
    is /dev/null: it takes each row from the socket and hands it to a write that does nothing.
    """
    with psycopg.connect(setup.source.dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        instant = scalar(connection, "SELECT pg_export_snapshot()")
        shares = _shares(setup)
        return measured(setup, lambda: _copy_all(setup, instant, shares))


def _copy_all(setup: Setup, instant: str, shares: list[list[str]]) -> None:
    options = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={setup.source.dsn}")
    running = []
    for statements in shares:
        script = (
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;",
            f"SET TRANSACTION SNAPSHOT '{instant}';",
            "SET LOCAL max_parallel_workers_per_gather = 0;",
            *statements,
            "COMMIT;",
        )
        reader = subprocess.Popen(
            [setup.cluster.program("psql"), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        if reader.stdin:
            reader.stdin.write("\n".join(script).encode())
            reader.stdin.close()
        running.append(reader)
    _check("psql", *(reader.wait() for reader in running))


def _check(program: str, *codes: int) -> None:
    if any(codes):
        raise subprocess.CalledProcessError(max(codes), program)


def _shares(setup: Setup) -> list[list[str]]:
    """Return each reader's statements, with about the same number of rows."""
    segments = setup.manifest().of(VARIABLE.name)
    ranges = dict.fromkeys((segment.first_chunk, segment.end_chunk) for segment in segments)
    copies = [_copy(VARIABLE, *bounds) for bounds in ranges] + [*map(_copy, RESOURCE_TABLES)]
    return [copies[number :: setup.readers] for number in range(setup.readers)]


def _copy(table: Table, first: int | None = None, end: int | None = None) -> str:
    columns = sql.SQL(", ").join(map(sql.Identifier, table.stored()))
    bounds = [
        f"time {operator} '{chunk_start(chunk).isoformat()}'"
        for operator, chunk in ((">=", first), ("<", end))
        if chunk is not None
    ]
    query = sql.SQL("COPY (SELECT {} FROM {} WHERE {}) TO STDOUT (FORMAT binary);")
    where = sql.SQL(" AND ".join(["true", *bounds]))
    return query.format(columns, sql.Identifier(table.name), where).as_string()
