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

# Below those that the system gives to clients: none of them must take the port of a killed server.
PORTS = range(20_000, 32_000)
TRIES = 5
WORKERS = 3
# What PostgreSQL knows a process by; and what names of ours begin with.
APPLICATION, PREFIX = "PGAPPNAME", "soak-"


class Service:
    """Something that runs.

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
        """Start it again where it has ended by itself, as a supervisor would."""
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
        """Let a Redis that is killed have forgotten everything when it starts."""
        for file in self.folder.sub("redis").rglob("*"):
            if file.is_file():
                file.unlink()


@contextmanager
def running_servers(folder: DataFolder, rng: random.Random) -> Iterator[Servers]:
    """Both, as the demo has them, but for fsync: what is committed stays, and so does the queue.

    It stays with the system, which outlives a process that is killed. Only a power cut needs it on
    the disk, and that cannot be had here; each recovery would take minutes where a disk is busy.
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
        # What runs then: those that were killed have others in their place.
        for service in services.values():
            service.child.stop()


def _persistently(start_it: Callable[[], tuple[Child, str]]) -> tuple[Child, str]:
    """Try it a few times: a process that nobody knew of may still hold PostgreSQL's memory."""
    for _ in range(TRIES - 1):
        try:
            return start_it()
        except DemoError:
            time.sleep(NOTICE_SECONDS / TRIES)
    return start_it()


@dataclass(frozen=True)
class Portal:
    """The portal's processes. The first worker is spared, so that growth over time is seen."""

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
        # A log for each start: what a killed one wrote is kept.
        name = f"{program.name}.{next(starts)}"
        return start(replace(program, name=name, environment=environment), folder)

    return Service(program.name, start_it)


def logs(folder: DataFolder) -> list[Path]:
    return sorted(folder.sub("logs").iterdir())


# Between two faults, as parts of a day: 30 to 60 seconds of one that lasts two minutes.
BETWEEN = (0.25, 0.5)
# A killed server stays away for so long, in seconds.
AWAY = (0.0, 3.0)
# Until who had a connection has noticed, and has a new one.
GRACE_SECONDS = 5.0


@dataclass
class Outages:
    """What was away, and when.

    Attributes:
        spans: Server, beginning and end by the monotonic clock; the last one may still go on.
        unexplained: Errors of the benchmark's own calls at other times.
        offset: What the monotonic clock lacks to seconds since 1970.
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
        """Whether something that lasted so long met an outage, of any server or of this one."""
        return any(
            begin < until + GRACE_SECONDS and end > since
            for name, since, until in self.spans
            if server in ("", name)
        )

    @contextmanager
    def borne(self) -> Iterator[None]:
        """Bear that a server is away; who calls tries again later."""
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


# One round; the next is another order of the same.
ROUND = (*[Fault.WORKER] * 4, *Fault)


def faults(rng: random.Random) -> Iterator[Fault]:
    """Kinds of faults without an end: in each round every kind."""
    while True:
        yield from rng.sample(ROUND, len(ROUND))


@dataclass
class Executioner:
    """Kills and starts again, when it is time to.

    Attributes:
        day: How many seconds it lasts.
        done: How often which fault was made.
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
