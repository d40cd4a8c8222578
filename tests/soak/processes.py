"""Servers and processes of the soak, which are killed at any moment and started again."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from django.db import Error, connection
from kombu.exceptions import OperationalError
from psycopg import Error as DriverError
from redis.exceptions import RedisError

from backups_portal.demo.child_processes import Child, Program, start
from backups_portal.demo.data_folder import DataFolder, write_whole
from backups_portal.demo.errors import DemoError
from backups_portal.demo.ports import is_free
from backups_portal.demo.postgres import start_postgres
from backups_portal.demo.programs import portal_programs
from backups_portal.demo.redis import start_redis
from tests.benchmarks.servers import execute
from tests.clusters import superuser_url
from tests.processes import NOTICE_SECONDS, kill_tree
from tests.projectdatabases import quiet

# Below the ephemeral ports of clients, which must not take a killed server's port.
PORTS = range(20_000, 32_000)
TRIES = 5
WORKERS = 3
# PostgreSQL's name for a process, and the prefix of ours.
APPLICATION, PREFIX = "PGAPPNAME", "soak-"


class Service:
    """A running process.

    Attributes:
        ended: How often it was found to have ended by itself.
    """

    def __init__(self, name: str, start_it: Callable[[], Child]) -> None:
        self.name, self._start = name, start_it
        self.ended = 0
        self.child = start_it()

    def start(self) -> None:
        self.child = self._start()

    def supervise(self) -> None:
        """Restart it if it has ended by itself, as a supervisor would."""
        if self.child.exit_code() is not None:
            self.ended += 1
            self.start()

    def kill(self, *, whole: bool = True) -> None:
        kill_tree(self.child.pid, whole=whole)
        self.child.stop()


@dataclass(frozen=True)
class Servers:
    folder: DataFolder
    redis: Service
    postgres: Service
    redis_url: str
    database_url: str

    def empty_redis(self) -> None:
        """Let a killed Redis start without its data."""
        for file in self.folder.sub("redis").rglob("*"):
            if file.is_file():
                file.unlink()


@contextmanager
def running_servers(folder: DataFolder, rng: random.Random) -> Iterator[Servers]:
    """Run both servers as the demo does, but without fsync, keeping commits and the queue.

    Written data is in the page cache, which outlives a killed process. Only a power failure, which
    cannot be simulated here, needs it on disk, and each recovery would take minutes on a busy disk.
    """
    services: dict[str, Service] = {}
    urls: dict[str, str] = {}

    def start_again(name: str) -> Child:
        program = {"redis": start_redis, "postgres": start_postgres}[name]
        child, url = _persistently(lambda: program(folder, durable=True, say=quiet))
        if urls.setdefault(name, url) != url:
            raise RuntimeError(f"another program has taken the port of {name}")
        return child

    try:
        for name in ("redis", "postgres"):
            port = next(port for port in iter(lambda: rng.choice(PORTS), None) if is_free(port))
            write_whole(folder.sub("run") / f"{name}.port", str(port))
            services[name] = Service(name, lambda name=name: start_again(name))  # type: ignore[misc]
        superuser = superuser_url(folder, urls["postgres"])
        execute(superuser, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield Servers(folder, *services.values(), *urls.values())
    finally:
        # Stop the current processes, which have replaced the killed ones.
        for service in services.values():
            service.child.stop()


def _persistently(start_it: Callable[[], tuple[Child, str]]) -> tuple[Child, str]:
    """Try a few times: an unknown process may still hold PostgreSQL's memory."""
    for _ in range(TRIES - 1):
        try:
            return start_it()
        except DemoError:
            time.sleep(NOTICE_SECONDS / TRIES)
    return start_it()


@dataclass(frozen=True)
class Portal:
    """The portal's processes. The first worker is spared, to observe growth over time."""

    web: Service
    beat: Service
    workers: Sequence[Service]

    @property
    def services(self) -> list[Service]:
        return [self.web, self.beat, *self.workers]


@contextmanager
def running_portal(folder: DataFolder, port: int) -> Iterator[Portal]:
    programs = {program.name: program for program in portal_programs(port, folder)}
    worker, beat = programs["worker"], programs["beat"]
    command = ["tests.soak.beat" if part == "backups_portal" else part
               for part in beat.command]  # fmt: skip
    options = [("--concurrency=1", "-n", f"worker{number}@%h") for number in range(WORKERS)]
    workers = [
        replace(worker, name=f"worker{number}", command=[*worker.command, *options[number]])
        for number in range(WORKERS)
    ]
    portal = Portal(
        _service(programs["web"], folder),
        _service(replace(beat, command=command), folder),
        [_service(one, folder) for one in workers],
    )
    try:
        yield portal
    finally:
        for service in portal.services:
            service.child.ask_to_stop()
        for service in portal.services:
            service.child.stop()


def _service(program: Program, folder: DataFolder) -> Service:
    starts = iter(range(1, 1_000_000))
    environment = {**program.environment, APPLICATION: PREFIX + program.name}

    def start_it() -> Child:
        # Each start has a new log, so that a killed process's log is kept.
        name = f"{program.name}.{next(starts)}"
        return start(replace(program, name=name, environment=environment), folder)

    return Service(program.name, start_it)


def logs(folder: DataFolder) -> list[Path]:
    return sorted(folder.sub("logs").iterdir())


# The pause between two faults as parts of a day: 30 to 60 seconds of a two-minute day.
BETWEEN = (0.25, 0.5)
# How long a killed server stays away, in seconds.
AWAY = (0.0, 3.0)
# The time for clients to notice and reconnect.
GRACE_SECONDS = 5.0


@dataclass
class Outages:
    """What was away, and when.

    Attributes:
        spans: Server, beginning and end by the monotonic clock; the last one may still be open.
        unexplained: Errors of the benchmark's own calls at other times.
        offset: Add it to the monotonic clock for seconds since 1970.
    """

    spans: list[tuple[str, float, float]] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    offset: float = field(default_factory=lambda: time.time() - time.monotonic())

    @contextmanager
    def of(self, server: str) -> Iterator[None]:
        begin = time.monotonic()
        self.spans.append((server, begin, float("inf")))
        try:
            yield
        finally:
            self.spans[-1] = (server, begin, time.monotonic())

    def touch(self, begin: float, end: float, *, server: str = "") -> bool:
        """Return whether this span overlaps an outage of any server, or of this one."""
        return any(
            begin < until + GRACE_SECONDS and end > since
            for name, since, until in self.spans
            if server in ("", name)
        )

    @contextmanager
    def borne(self) -> Iterator[None]:
        """Tolerate that a server is away; the caller retries later."""
        begin = time.monotonic()
        try:
            yield
        except (Error, DriverError, OperationalError, RedisError) as error:
            if not self.touch(begin, time.monotonic()):
                self.unexplained.append(f"{type(error).__name__}: {error}".strip())
            connection.close()


class Fault(StrEnum):
    WORKER = "a worker with its processes"
    POSTMASTER = "PostgreSQL's first process"
    POSTGRES = "all of PostgreSQL's processes"
    REDIS = "Redis"
    REDIS_EMPTIED = "Redis, and all that it held"


# One round; each round shuffles it again.
ROUND = (*[Fault.WORKER] * 4, *Fault)


def faults(rng: random.Random) -> Iterator[Fault]:
    """Yield endless faults: in each round every kind."""
    while True:
        yield from rng.sample(ROUND, len(ROUND))


@dataclass
class Executioner:
    """Kills processes and starts them again at intervals.

    Attributes:
        day: Seconds of a day.
        done: How often each fault was made.
    """

    rng: random.Random
    day: float
    servers: Servers
    portal: Portal
    outages: Outages
    done: Counter[Fault] = field(default_factory=lambda: Counter(dict.fromkeys(Fault, 0)))

    def __post_init__(self) -> None:
        self._faults = faults(self.rng)
        self._rest()

    def _rest(self) -> None:
        self._next = time.monotonic() + self.day * self.rng.uniform(*BETWEEN)

    def work(self) -> Fault | None:
        if time.monotonic() < self._next:
            return None
        fault = next(self._faults)
        self._make(fault)
        self.done[fault] += 1
        self._rest()
        return fault

    def _make(self, fault: Fault) -> None:
        if fault == Fault.WORKER:
            worker = self.rng.choice(self.portal.workers[1:])
            worker.kill()
            worker.start()
            return
        of_redis = fault in (Fault.REDIS, Fault.REDIS_EMPTIED)
        server = self.servers.redis if of_redis else self.servers.postgres
        with self.outages.of(server.name):
            server.kill(whole=fault != Fault.POSTMASTER)
            time.sleep(self.rng.uniform(*AWAY))
            if fault == Fault.REDIS_EMPTIED:
                self.servers.empty_redis()
            server.start()
