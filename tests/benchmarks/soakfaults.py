"""What is killed, in an order that chance decides, and each kind of it often enough."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum

from tests.benchmarks.soakoutages import Outages
from tests.benchmarks.soakservices import Portal, Servers

# Between two faults, as parts of a day: 30 to 60 seconds of one that lasts two minutes.
BETWEEN = (0.25, 0.5)
# A killed server stays away for so long, in seconds.
AWAY = (0.0, 3.0)


class Fault(StrEnum):
    """What happens."""

    WORKER = "a worker with its processes"
    POSTMASTER = "PostgreSQL's first process"
    POSTGRES = "all of PostgreSQL's processes"
    REDIS = "Redis"
    REDIS_EMPTIED = "Redis, and all that it held"


# One round; the next is another order of the same.
ROUND = (*[Fault.WORKER] * 4, *Fault.__members__.values())


def faults(rng: random.Random) -> Iterator[Fault]:
    """Kinds of faults without an end: in each round every kind."""
    while True:
        yield from rng.sample(ROUND, len(ROUND))


class Executioner:
    """Kills and starts again, when it is time to.

    Attributes:
        done: How often which fault was made.
    """

    def __init__(
        self, rng: random.Random, day: float, servers: Servers, portal: Portal, outages: Outages
    ) -> None:
        self._rng, self._day = rng, day
        self._servers, self._portal, self._outages = servers, portal, outages
        self._faults = faults(rng)
        self._next = time.monotonic() + self._pause()
        self.done: Counter[Fault] = Counter()

    def work(self) -> Fault | None:
        """Make a fault where it is time; which one."""
        if time.monotonic() < self._next:
            return None
        fault = next(self._faults)
        self._make(fault)
        self.done[fault] += 1
        self._next = time.monotonic() + self._pause()
        return fault

    def _pause(self) -> float:
        return self._day * self._rng.uniform(*BETWEEN)

    def _make(self, fault: Fault) -> None:
        if fault == Fault.WORKER:
            worker = self._rng.choice(self._portal.victims)
            worker.kill()
            worker.start()
            return
        of_redis = fault in (Fault.REDIS, Fault.REDIS_EMPTIED)
        server = self._servers.redis if of_redis else self._servers.postgres
        with self._outages.of(server.name):
            server.kill(whole=fault != Fault.POSTMASTER)
            time.sleep(self._rng.uniform(*AWAY))
            if fault == Fault.REDIS_EMPTIED:
                self._servers.empty_redis()
            server.start()
