"""What is killed, in an order that chance decides; and when servers were away because of it."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from django.db import Error, connection
from kombu.exceptions import OperationalError
from psycopg import Error as DriverError
from redis.exceptions import RedisError

from tests.benchmarks.soak.services import Portal, Servers

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
        """An outage, while the context lasts."""
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
    """What happens."""

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
        """Make a fault where it is time; which one."""
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
