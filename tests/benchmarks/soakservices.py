"""Servers and processes of the soak, which can be killed at any moment and started again."""

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from backups_portal.demo.child_processes import Child, Program, start
from backups_portal.demo.data_folder import DataFolder, write_whole
from backups_portal.demo.errors import DemoError
from backups_portal.demo.ports import is_free
from backups_portal.demo.postgres import SUPERUSER, start_postgres
from backups_portal.demo.process_identity import start_mark
from backups_portal.demo.programs import portal_programs
from backups_portal.demo.redis import start_redis
from backups_portal.projectdb.database_url import database_url
from tests.benchmarks.machine import tree

# How long PostgreSQL's processes may take to notice that the first of them is gone.
NOTICE_SECONDS = 10.0
# Below those that the system gives to clients: none of them must take the port of a killed server.
PORTS = range(20_000, 32_000)
TRIES = 5
WORKERS = 3
# What PostgreSQL knows a process by; and what names of ours begin with.
APPLICATION, PREFIX = "PGAPPNAME", "soak-"

Start = Callable[[], Child]


class Service:
    """Something that runs.

    Attributes:
        ended: How often it was found to have ended by itself.
    """

    def __init__(self, name: str, start_it: Start) -> None:
        self.name, self._start = name, start_it
        self.ended = 0
        self.child = start_it()

    def start(self) -> None:
        """Start it again."""
        self.child = self._start()

    def supervise(self) -> None:
        """Start it again where it has ended by itself, as a supervisor would."""
        if self.child.exit_code() is not None:
            self.ended += 1
            self.start()

    def kill(self, *, whole: bool = True) -> None:
        """Kill it by SIGKILL, and wait until all of it is gone.

        Args:
            whole: All of its processes at once, or the first of them only.
        """
        marks = {pid: start_mark(pid) for pid in tree(self.child.pid)}
        for pid in list(marks) if whole else [self.child.pid]:
            _kill(pid)
        deadline = time.monotonic() + NOTICE_SECONDS
        while alive := [pid for pid, mark in marks.items() if mark and start_mark(pid) == mark]:
            if time.monotonic() > deadline:
                for pid in alive:
                    _kill(pid)
            time.sleep(0.05)
        self.child.stop()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True)
class Servers:
    """PostgreSQL and Redis, on data that outlives them."""

    folder: DataFolder
    postgres: Service
    redis: Service
    database_url: str
    redis_url: str

    def empty_redis(self) -> None:
        """Let a Redis that is killed have forgotten everything when it starts."""
        for file in self.folder.sub("redis").rglob("*"):
            if file.is_file():
                file.unlink()


def start_servers(folder: DataFolder, rng: random.Random) -> Servers:
    """Both, as the demo has them, but for fsync: what is committed stays, and so does the queue."""
    for name in ("postgres", "redis"):
        write_whole(folder.sub("run") / f"{name}.port", str(_free_port(rng)))
    urls: dict[str, str] = {}

    def starting(name: str, program: Callable[..., tuple[Child, str]]) -> Start:
        def start_it() -> Child:
            child, url = _persistently(lambda: program(folder, durable=True, say=lambda line: None))
            if urls.setdefault(name, url) != url:
                raise RuntimeError(f"another program has taken the port of {name}")
            return child

        return start_it

    redis = Service("redis", starting("redis", start_redis))
    try:
        postgres = Service("postgres", starting("postgres", start_postgres))
        _spare_the_disk(folder, urls["postgres"])
    except BaseException:
        redis.child.stop()
        raise
    return Servers(folder, postgres, redis, urls["postgres"], urls["redis"])


def _spare_the_disk(folder: DataFolder, url: str) -> None:
    """Leave what is committed with the system, which outlives a process that is killed.

    Only a power cut needs it on the disk, and that cannot be had here. Without this, each recovery
    takes minutes on a machine whose disk is busy.
    """
    password = folder.keep(SUPERUSER, lambda: "")
    superuser = database_url(url, database=SUPERUSER, user=SUPERUSER, password=password)
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")


def _persistently(start_it: Callable[[], tuple[Child, str]]) -> tuple[Child, str]:
    """Try it a few times: a process that nobody knew of may still hold PostgreSQL's memory."""
    for _ in range(TRIES - 1):
        try:
            return start_it()
        except DemoError:
            time.sleep(NOTICE_SECONDS / TRIES)
    return start_it()


def _free_port(rng: random.Random) -> int:
    return next(port for port in iter(lambda: rng.choice(PORTS), None) if is_free(port))


@dataclass(frozen=True)
class Portal:
    """The portal's processes. The first worker is spared, so that growth over time is seen."""

    web: Service
    beat: Service
    workers: Sequence[Service]

    @property
    def services(self) -> list[Service]:
        """All of them."""
        return [self.web, self.beat, *self.workers]

    @property
    def victims(self) -> Sequence[Service]:
        """The workers that are killed."""
        return self.workers[1:]

    def stop(self) -> None:
        """Tell all of them to stop, then wait for each."""
        for service in self.services:
            service.child.ask_to_stop()
        for service in self.services:
            service.child.stop()


def start_portal(folder: DataFolder, port: int) -> Portal:
    """Web server, beat and workers of one process each, as the demo starts them but for that."""
    programs = {program.name: program for program in portal_programs(port, folder)}
    worker = programs["worker"]
    beat = programs["beat"]
    compressed = ["tests.benchmarks.soakbeat" if part == "backups_portal" else part
                  for part in beat.command]  # fmt: skip
    return Portal(
        web=_service(programs["web"], folder),
        beat=_service(replace(beat, command=compressed), folder),
        workers=[
            _service(
                replace(
                    worker,
                    name=f"worker{number}",
                    command=[*worker.command, "--concurrency=1", "-n", f"worker{number}@%h"],
                ),
                folder,
            )
            for number in range(WORKERS)
        ],
    )


def _service(program: Program, folder: DataFolder) -> Service:
    starts = iter(range(1, 1_000_000))

    def start_it() -> Child:
        # A log for each start: what a killed one wrote is kept.
        named = replace(
            program,
            name=f"{program.name}.{next(starts)}",
            environment={**program.environment, APPLICATION: PREFIX + program.name},
        )
        return start(named, folder)

    return Service(program.name, start_it)


def logs(folder: DataFolder) -> list[Path]:
    """The logs of every process, of all its starts."""
    return sorted(folder.sub("logs").iterdir())
