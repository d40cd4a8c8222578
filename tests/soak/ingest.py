"""Continuous ingest and a record of what it wrote, so that any loss is found.

Threads write into the projects, correct and delete in groups, each time in one transaction; they
call what the API's routes call. Each project has one thread, so that its truth has one writer. If
PostgreSQL is killed and the outcome of a commit is unknown, the thread looks afterwards: a group is
as before, or as intended, and anything in between is a loss.
"""

import argparse
import json
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import psycopg

from backups_portal.projectdb.record_edits import delete_records, edit_records
from backups_portal.projectdb.record_filter import Selection, Window
from backups_portal.projectdb.record_reader import find_device, read_page
from backups_portal.projectdb.record_writer import MAX_RECORDS, send
from tests.projectdatabases import DEVICE, Connection

ROWS = (20, 120)
# Shares of all operations; the rest are new records.
CORRECTED, DELETED = 0.15, 0.05
CORRECTED_ROWS = 10
# The share of new records that come late, and by how much.
LATE, LATE_DAYS = 0.2, 10
LARGEST = 1_000
PATIENCE = 180.0
WRITTEN = ("inserted", "corrected", "deleted", "rows", "unclear")
# The clock of a snapshot's instant is read a moment after its rows are fixed.
SLACK_SECONDS = 2.0
GROUPS = """SELECT group_key, count(*), sum(number_value)::bigint FROM variable
    WHERE %(group)s::text IS NULL OR group_key = %(group)s GROUP BY group_key"""


class Contents(NamedTuple):
    """A group's number of records, and the sum of their values, which are whole."""

    rows: int
    total: int


NOTHING = Contents(0, 0)


@dataclass(frozen=True)
class Operation:
    """A change of a group; `values` are those of new records."""

    kind: str
    group: str
    after: Contents
    values: tuple[int, ...] = ()
    days_ago: int = 0


@dataclass
class Change:
    """A transaction: when it began, when it was known to be committed, and its added rows."""

    begun: float
    ended: float
    rows: int


@dataclass
class Truth:
    """The expected content of a project. Times are seconds since 1970 by PostgreSQL's clock."""

    groups: dict[str, Contents] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, group: str, after: Contents, *, at: float) -> Change:
        """Record that a group is about to change."""
        change = Change(at, float("inf"), after.rows - self.contents(group).rows)
        with self._lock:
            self.changes.append(change)
        return change

    def end(self, change: Change, group: str, after: Contents, *, at: float) -> None:
        """Record that the change is committed."""
        change.ended = at
        self.groups[group] = after
        if after == NOTHING:
            del self.groups[group]

    def take_back(self, change: Change) -> None:
        """Record that the change did not happen."""
        with self._lock:
            self.changes.remove(change)

    def contents(self, group: str) -> Contents:
        return self.groups.get(group, NOTHING)

    def bounds(self, instant: float, until: float) -> tuple[int, int]:
        """Return the least and most rows of a snapshot of an instant.

        Args:
            until: A moment after the instant for certain.
        """
        with self._lock:
            changes = list(self.changes)
        low = high = 0
        for change in changes:
            if change.ended < instant - SLACK_SECONDS:
                low, high = low + change.rows, high + change.rows
            elif change.begun < until:
                low, high = low + min(0, change.rows), high + max(0, change.rows)
        return low, high

    def differences(self, found: Mapping[str, Contents]) -> list[str]:
        names = self.groups.keys() | found.keys()
        return sorted(name for name in names if self.contents(name) != found.get(name, NOTHING))


@dataclass(frozen=True)
class Field:
    project_id: UUID
    dsn: str
    prefix: str
    truth: Truth = field(default_factory=Truth)

    def connect(self) -> Connection:
        return psycopg.connect(self.dsn, autocommit=True, connect_timeout=5)

    def found(self, group: str | None = None) -> dict[str, Contents]:
        with self.connect() as connection:
            return groups_in(connection, group)


def groups_in(connection: Connection, group: str | None = None) -> dict[str, Contents]:
    rows = connection.execute(GROUPS, {"group": group}).fetchall()
    return {str(name): Contents(*contents) for name, *contents in rows}


class LostError(Exception):
    """A project lacks data that was committed to it."""


def choose(rng: random.Random, truth: Truth) -> Operation:
    dice = rng.random()
    if dice < CORRECTED + DELETED and truth.groups:
        group = rng.choice(list(truth.groups))
        before = truth.contents(group)
        if dice < DELETED:
            return Operation("deleted", group, NOTHING)
        corrected = min(CORRECTED_ROWS, before.rows)
        return Operation("corrected", group, Contents(before.rows, before.total + corrected))
    values = tuple(rng.randrange(LARGEST) for _ in range(rng.randint(*ROWS)))
    days = rng.randrange(1, LATE_DAYS) if rng.random() < LATE else 0
    after = Contents(len(values), sum(values))
    return Operation("inserted", secrets.token_hex(12), after, values, days)


def perform(connection: Connection, prefix: str, operation: Operation) -> None:
    """Run the operation.

    Raises:
        psycopg.Error: The outcome is unknown.
        LostError: The group lacks records already.
    """
    if operation.kind == "inserted":
        send(connection, device_id=DEVICE, records=_records(operation))
        return
    device = find_device(connection, DEVICE, prefix=prefix)
    selection = Selection(groups=(operation.group,))
    if operation.kind == "deleted":
        delete_records(connection, device, selection, window=Window(MAX_RECORDS))
        return
    page = read_page(connection, device, selection, limit=CORRECTED_ROWS)
    found = [json.loads(text) for text in page]
    if len(found) < min(CORRECTED_ROWS, operation.after.rows):
        raise LostError(f"group {operation.group} of bp_{prefix} has {len(found)} records only")
    items = [{"id": record["id"], "value": record["value"] + 1} for record in found]
    edit_records(connection, device, items)


def _records(operation: Operation) -> list[dict[str, object]]:
    begin = datetime.now(UTC) - timedelta(days=operation.days_ago)
    return [
        {
            "variable": f"temperature_{place % 3 + 1}",
            "unit": "C",
            "value": value,
            "group": operation.group,
            "time": begin + timedelta(milliseconds=place),
        }
        for place, value in enumerate(operation.values)
    ]


class Writer(threading.Thread):
    """Writes into its projects in turn until it is stopped.

    Attributes:
        done: Committed operations of each kind, inserted rows, and `unclear`: those whose outcome
            was unknown.
        error: The error that ended it.
    """

    def __init__(self, fields: Sequence[Field], *, seed: int, pause: float) -> None:
        super().__init__(name=f"ingest {seed}", daemon=True)
        self._fields, self._rng, self._pause = fields, random.Random(seed), pause  # noqa: S311
        self._stopping = threading.Event()
        self.done = Counter(dict.fromkeys(WRITTEN, 0))
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                for place in self._fields:
                    if self._stopping.wait(self._pause):
                        return
                    self._visit(place)
        except Exception as error:
            self.error = error

    def stop(self) -> None:
        """Stop writing, after resolving an unclear operation.

        Raises:
            Exception: The error that ended it before.
        """
        self._stopping.set()
        self.join()
        if self.error:
            raise self.error

    def _visit(self, place: Field) -> None:
        operation = choose(self._rng, place.truth)
        change = place.truth.begin(operation.group, operation.after, at=time.time())
        try:
            with place.connect() as connection:
                perform(connection, place.prefix, operation)
        except psycopg.Error:
            self.done["unclear"] += 1
            if not self._is_done(place, operation):
                place.truth.take_back(change)
                return
        place.truth.end(change, operation.group, operation.after, at=time.time())
        self.done.update({operation.kind: 1, "rows": len(operation.values)})

    def _is_done(self, place: Field, operation: Operation) -> bool:
        """Return whether it was committed, once PostgreSQL answers again."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                found = place.found(operation.group).get(operation.group, NOTHING)
                break
            except psycopg.Error:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
        if found not in (before := place.truth.contents(operation.group), operation.after):
            raise LostError(
                f"group {operation.group} of bp_{place.prefix} was {before}, should become "
                f"{operation.after}, and is {found}"
            )
        return found == operation.after


def start_writers(fields: Sequence[Field], options: argparse.Namespace) -> list[Writer]:
    writers = [
        Writer(fields[place :: options.writers], seed=options.seed + place, pause=options.pause)
        for place in range(min(options.writers, len(fields)))
    ]
    for writer in writers:
        writer.start()
    return writers
