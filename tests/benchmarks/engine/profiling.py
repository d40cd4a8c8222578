"""Profiles: clocks around the engine's parts, and the server's processor time."""

import importlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from inspect import isgenerator
from typing import Any

from tests.benchmarks.machine import tree_cpu_seconds

SERVER = "wait for the server"
THREADS = "wait for threads"
# The server's work: these parts include waiting for it.
SERVERS_WORK = "load: "
# Each part and its place, as module:name or module:name.name. A test checks that every one exists.
PROBES: tuple[tuple[str, str], ...] = (
    ("plan, marks, elsewhere", "snapshots.engine.snapshot_writer:take_snapshot"),
    (SERVER, "psycopg:Cursor.execute"),
    (SERVER, "psycopg:connect"),
    (SERVER, "adbc_driver_manager.dbapi:Cursor.execute"),
    (SERVER, "adbc_driver_manager.dbapi:Cursor.fetch_record_batch"),
    (SERVER, "adbc_driver_postgresql.dbapi:connect"),
    ("decode", "snapshots.engine.instant_reader:read_arrays"),
    ("decode", "snapshots.engine.instant_reader:_parts"),
    ("sort", "snapshots.engine.instant_reader:_sorted_variables"),
    ("digest", "snapshots.engine.snapshot_writer:row_words"),
    ("digest", "snapshots.engine.contents_index:table_digest"),
    ("digest", "restores.proof_check:row_words"),
    ("contents", "snapshots.engine.snapshot_writer:count_cells"),
    ("contents", "snapshots.engine.snapshot_writer:_Run._store_cells"),
    ("contents", "snapshots.engine.snapshot_writer:note_devices"),
    ("contents", "snapshots.engine.snapshot_writer:note_excluded"),
    ("parquet", "snapshots.engine.segments:_parquet"),
    ("parquet", "snapshots.engine.segments:read_segment"),
    ("segments' names (SHA-256)", "snapshots.engine.snapshot_writer:encode"),
    ("storage", "snapshots.engine.storage:Storage.put"),
    ("storage", "snapshots.engine.storage:Storage.get"),
    ("storage: read back and compare", "snapshots.engine.segment_store:read_back"),
    ("storage: read back and compare", "snapshots.engine.segments:check_bytes"),
    (THREADS, "snapshots.engine.snapshot_writer:run_parallel"),
    (THREADS, "restores.snapshot_loader:run_parallel"),
    (THREADS, "restores.compared_build:run_parallel"),
    ("load: new database", "backups_portal.projectdb.provisioning:create_database"),
    ("load: resources", "restores.snapshot_loader:_Load._load_resources"),
    ("load: prepare rows", "restores.snapshot_loader:_numbered"),
    ("load: COPY", "adbc_driver_manager.dbapi:Cursor.adbc_ingest"),
    ("load: indexes", "restores.index_build:IndexBuild._build"),
    ("load: finish", "restores.index_build:_finish"),
)


@dataclass
class Part:
    """Seconds within a part, excluding its inner parts; summed over threads."""

    name: str
    calls: int = 0
    wall: float = 0.0
    cpu: float = 0.0

    def add(self, wall: float, cpu: float) -> None:
        self.calls += 1
        self.wall += wall
        self.cpu += cpu


class Clock:
    """Adds up the time of nested parts in any number of threads."""

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        self._lock = threading.Lock()
        self._local = threading.local()

    @property
    def _stack(self) -> list[Part]:
        """Return the parts that this thread is in, each with the time of its inner parts."""
        stack: list[Part] = self._local.__dict__.setdefault("stack", [])
        return stack

    def current(self) -> str:
        return self._stack[-1].name if self._stack else "elsewhere"

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        stack, inside = self._stack, Part(name)
        stack.append(inside)
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
            stack.pop()
            if stack:
                stack[-1].add(wall, cpu)
            with self._lock:
                part = self.parts.setdefault(name, Part(name))
                part.add(wall - inside.wall, cpu - inside.cpu)

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a clock that also runs while its generator advances."""

        def call(*args: Any, **kwargs: Any) -> Any:
            if name == SERVER and self.current().startswith(SERVERS_WORK):
                return function(*args, **kwargs)
            if name == THREADS:
                # Work in threads counts for the part that started them.
                jobs, work, *rest = args
                args = (jobs, self.around(self.current(), work), *rest)
            with self.running(name):
                result = function(*args, **kwargs)
            return self._each(name, result) if isgenerator(result) else result

        return call

    def _each(self, name: str, items: Iterator[Any]) -> Iterator[Any]:
        end = object()
        while True:
            with self.running(name):
                item = next(items, end)
            if item is end:
                return
            yield item


def locate(place: str) -> tuple[Any, str]:
    """Return the object that holds a probe's target, and the target's name.

    Raises:
        AttributeError: The engine has changed, and the probe must follow.
    """
    module, _, path = place.partition(":")
    *outer, name = path.split(".")
    holder = reduce(getattr, outer, importlib.import_module(module))
    getattr(holder, name)
    return holder, name


@contextmanager
def profiled(*, wanted: bool, postmaster: int) -> Iterator[list[Part]]:
    """Yield a list that receives the parts at the end, longest first; empty unless wanted.

    For short-lived processes only: the clocks are never removed.
    """
    found: list[Part] = []
    if not wanted:
        yield found
        return
    clock = Clock()
    for name, place in PROBES:
        try:
            holder, attribute = locate(place)
        except (AttributeError, ModuleNotFoundError):
            found.append(Part(f"(not found: {place})"))
            continue
        setattr(holder, attribute, clock.around(name, getattr(holder, attribute)))
    wall, own, server = time.perf_counter(), time.process_time(), tree_cpu_seconds(postmaster)
    yield found
    found += sorted(clock.parts.values(), key=lambda part: -part.wall)
    own = time.process_time() - own
    found += [
        Part("(worker in all)", 1, time.perf_counter() - wall, own),
        Part("(PostgreSQL in all)", 1, 0.0, tree_cpu_seconds(postmaster) - server),
    ]
