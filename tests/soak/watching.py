"""Monitors of a running soak: memory, connections, pages, and each new snapshot."""

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from uuid import UUID

import psycopg
import requests
from django.utils import timezone
from kombu import Connection
from redis import Redis

from backups_portal.demo.ports import LOOPBACK
from snapshots.models import Snapshot
from tests.benchmarks.harness import MEGABYTE, Samples, divide
from tests.benchmarks.machine import resident_bytes
from tests.brokers import waiting_messages
from tests.soak.days import as_it_was
from tests.soak.ingest import Truth
from tests.soak.processes import PREFIX, Outages, Portal, Servers

PAGE_SECONDS = 1.0
# The part of a run before processes have loaded and cached what they need.
WARMING_UP = 0.1

CONNECTIONS = """SELECT application_name, datname ~ '^bp_[0-9a-f]{8}$', count(*)
    FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
    GROUP BY 1, 2"""


def quarters(values: Sequence[float]) -> tuple[float, float] | None:
    """Return medians of the first and last quarter, after the processes have warmed up."""
    warm = values[int(len(values) * WARMING_UP) :]
    quarter = len(warm) // 4
    return (median(warm[:quarter]), median(warm[-quarter:])) if quarter else None


def growth(values: Sequence[float]) -> float | None:
    found = quarters(values)
    return divide(found[1], found[0]) if found else None


@dataclass(frozen=True)
class Connections:
    """Connections to PostgreSQL by application, and those of them to projects' databases."""

    by_name: Mapping[str, int]
    to_projects: int

    @property
    def total(self) -> int:
        return sum(self.by_name.values())


def connections(servers: Servers) -> Connections:
    with psycopg.connect(servers.database_url, connect_timeout=5) as connection:
        rows = connection.execute(CONNECTIONS).fetchall()
    found: Counter[str] = Counter()
    for name, _, count in rows:
        found[str(name)] += count
    return Connections(found, sum(count for _, to_project, count in rows if to_project))


@dataclass
class Gauges:
    """Samples over the run: megabytes by process, connections, clients of Redis, databases."""

    servers: Servers
    portal: Portal
    samples: Samples = field(default_factory=Samples)

    def read(self) -> None:
        for service in self.portal.services:
            self.samples.add(f"{service.name} MB", resident_bytes(service.child.pid) / MEGABYTE)
        self.samples.add("connections", connections(self.servers).total)
        with Redis.from_url(self.servers.redis_url, socket_timeout=5) as client:
            self.samples.add("Redis MB", client.info("memory")["used_memory"] / MEGABYTE)
            self.samples.add("Redis clients", client.info("clients")["connected_clients"])
        with Connection(self.servers.redis_url) as broker:
            self.samples.add("messages waiting", waiting_messages(broker))


@dataclass
class Counting:
    """Compares each new snapshot's rows with those written until its instant.

    Attributes:
        seen: The number of compared snapshots.
        wrong: Sentences about those with other rows.
    """

    truths: Mapping[UUID, Truth]
    wrong: list[str] = field(default_factory=list)
    _seen: set[UUID] = field(default_factory=set)

    @property
    def seen(self) -> int:
        return len(self._seen)

    def look(self) -> None:
        """Compare the snapshots completed since the last call."""
        stored = Snapshot.objects.filter(project__in=list(self.truths), taken_at__isnull=False)
        new = set(stored.values_list("pk", flat=True)) - self._seen
        for snapshot in Snapshot.objects.filter(pk__in=new):
            now = timezone.now()
            instant = as_it_was(snapshot.taken_at, now).timestamp()
            until = as_it_was(snapshot.finished_at, now).timestamp()
            low, high = self.truths[snapshot.project_id].bounds(instant, until)
            if not low <= snapshot.table_rows["variable"] <= high:
                self.wrong.append(
                    f"snapshot {snapshot.pk} has {snapshot.table_rows['variable']} variables, "
                    f"where there were {low} to {high}"
                )
        self._seen |= new


class Reader(threading.Thread):
    """A visitor who loads one page a second, until it is stopped.

    Attributes:
        seconds: The duration of each loaded page.
        failed: Sentences about failures while PostgreSQL was up.
        excused: The number of failures while it was away.
    """

    def __init__(self, port: int, cookie: str, pages: Sequence[str], outages: Outages) -> None:
        super().__init__(name="reader", daemon=True)
        self._url, self._headers = f"http://{LOOPBACK}:{port}", {"Cookie": cookie}
        self.pages, self._outages = pages, outages
        self._stopping = threading.Event()
        self.seconds: list[float] = []
        self.failed: list[str] = []
        self.excused = 0

    def run(self) -> None:
        while not self._stopping.is_set():
            for path in self.pages:
                if self._stopping.wait(PAGE_SECONDS):
                    return
                self.show(path)

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def show(self, path: str) -> None:
        begin = time.monotonic()
        trouble = self._ask(path)
        end = time.monotonic()
        if not trouble:
            self.seconds.append(end - begin)
        elif self._outages.touch(begin, end, server="postgres"):
            self.excused += 1
        else:
            self.failed.append(f"{path}: {trouble}")

    def _ask(self, path: str) -> str:
        try:
            answer = requests.get(
                self._url + path, headers=self._headers, timeout=30, allow_redirects=False
            )
        except requests.RequestException as error:
            return f"{type(error).__name__}: {error}"
        return "" if answer.status_code == requests.codes.ok else f"status {answer.status_code}"


def surplus(found: Connections, *, threads_of_web: int) -> int:
    """Count connections that an idle system does not need.

    The web server keeps one for each thread and each worker process one, to the portal's own
    database; no process needs any to a project's.
    """
    allowed = {f"{PREFIX}web": threads_of_web}
    return found.to_projects + sum(
        max(0, count - allowed.get(name, 1)) for name, count in found.by_name.items()
    )
