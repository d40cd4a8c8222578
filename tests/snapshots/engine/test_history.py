"""Random histories: every snapshot is its moment, whatever was written, killed or lost."""

import secrets
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.conf import settings as portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from backups_portal.projectdb.devices import delete_device
from restores.snapshot_loader import Target
from snapshots.engine import contents_index, full_reread, segment_plan
from snapshots.engine.contents_index import read_cells, read_devices
from snapshots.engine.layout import manifest_key
from snapshots.engine.manifest import Manifest
from snapshots.engine.object_sweep import sweep
from snapshots.engine.segments import read_segment
from snapshots.engine.snapshot_writer import Destination, Listener, Source, take_snapshot
from snapshots.engine.storage import Storage
from tests.projectdatabases import START, Backups, contents, open_database

# Days around the newest one, and the first and last that a variable may have.
DAYS = [START + timedelta(days=n) for n in range(8)]
DAYS += [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)]
DEVICES = ["a" * 24, "b" * 24]
REWRITES = ["VACUUM FULL variable", "VACUUM FULL change_mark", "VACUUM FREEZE", "CLUSTER variable"]
day, series, device = st.sampled_from(DAYS), st.integers(1, 5), st.sampled_from(DEVICES)
late = st.booleans()
Moment = tuple[Counter[tuple[Any, ...]], list[tuple[Any, ...]], list[tuple[Any, ...]]]


class KilledError(Exception):
    """The worker dies here."""


@contextmanager
def copied(source: Target) -> Iterator[Target]:
    """Copy a database as it is at this moment, as a replica whose primary fails now has it."""
    name = f"copy_{secrets.token_hex(6)}"
    names = {"name": name, "original": str(conninfo_to_dict(source.dsn)["dbname"])}
    found = {key: sql.Identifier(value) for key, value in names.items()}
    with psycopg.connect(portal.PROJECT_DATABASE_URL, autocommit=True) as server:
        statement = "CREATE DATABASE {name} TEMPLATE {original} STRATEGY file_copy"
        server.execute(sql.SQL(statement).format(**found))
        try:
            yield replace(source, dsn=make_conninfo(source.dsn, dbname=name))
        finally:
            server.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**found))


def moment_of(target: Target) -> Moment:
    """Return the rows, series and devices of a database."""
    with open_database(target) as connection:
        rows = connection.execute(
            """SELECT series_id, time, number_value, group_key FROM variable
               JOIN series ON series.id = series_id"""
        ).fetchall()
        known = connection.execute("SELECT id, device_id, variable FROM series ORDER BY id")
        devices = connection.execute("SELECT id, name FROM device ORDER BY id").fetchall()
        return Counter(rows), known.fetchall(), devices


def stored_moment(storage: Storage, manifest: Manifest) -> Moment:
    """Return what a stored snapshot says of the same."""
    stored = Manifest.load(storage, manifest.key)

    def rows(table: str, *names: str) -> list[tuple[Any, ...]]:
        parts = [read_segment(storage, segment) for segment in stored.of(table)]
        return [tuple(row[name] for name in names) for part in parts for row in part.to_pylist()]

    variables = rows("variable", "series_id", "time", "number_value", "group_key")
    known, devices = rows("series", "id", "device_id", "variable"), rows("device", "id", "name")
    return Counter(variables), sorted(known), sorted(devices)


def told(storage: Storage, manifest: Manifest) -> tuple[Any, ...]:
    """Return the rows and devices in a snapshot's contents."""
    cells = read_cells(storage, manifest.contents).to_pylist()
    return sorted(map(str, cells)), read_devices(storage, manifest.contents)


class History(RuleBasedStateMachine):
    """A main database, its writers, replicas that stopped, and its retained snapshots."""

    def __init__(self, backups: Backups) -> None:
        super().__init__()
        self.storage, self.target = backups.storage, backups.source
        self.project, self.retried = uuid.uuid4(), None
        self.taken: list[tuple[Manifest, Moment]] = []
        self.replicas: list[Target] = []
        self.resources = ExitStack()
        self.source = self._connect()
        self.writer: psycopg.Connection | None = None

    def _connect(self) -> psycopg.Connection:
        options = "-c lock_timeout=100ms"
        return psycopg.connect(self.target.dsn, autocommit=True, options=options)

    def _write(self, late: bool, statement: str, *values: object) -> None:
        """Run a statement, in the open transaction if it is a late one."""
        connection = self.writer if late and self.writer else self.source
        refusals = psycopg.errors.LockNotAvailable, psycopg.errors.IntegrityError
        with suppress(*refusals), connection.transaction():
            connection.execute(statement.encode(), values)

    @initialize()
    def begin(self) -> None:
        self.source.execute("TRUNCATE variable, device CASCADE")
        for number in (1, 2, 3):
            self.make_series(False, number, DEVICES[number % 2])
            self.insert(False, number, DAYS[number], 4)

    @rule(late=late, number=series, on=day, rows=st.integers(1, 5))
    def insert(self, late: bool, number: int, on: datetime, rows: int) -> None:
        self._write(
            late,
            """INSERT INTO variable (series_id, time, number_value, group_key)
               SELECT id, %s::timestamptz + n %% 3 * interval '1 minute', n, 'g'
               FROM series, generate_series(1, %s) AS n WHERE id = %s""",
            *(on, rows, number),
        )

    @rule(late=late, on=day)
    def update(self, late: bool, on: datetime) -> None:
        statement = "UPDATE variable SET number_value = number_value + 1 WHERE time = %s"
        self._write(late, statement, on)

    @rule(late=late, on=day, to=day)
    def exchange(self, late: bool, on: datetime, to: datetime) -> None:
        self._write(
            late,
            """UPDATE variable SET time = CASE WHEN time = %s THEN %s::timestamptz ELSE %s END
               WHERE time IN (%s, %s)""",
            *(on, to, on, on, to),
        )

    @rule(late=late, on=day)
    def delete(self, late: bool, on: datetime) -> None:
        self._write(late, "DELETE FROM variable WHERE time >= %s AND number_value > 2", on)

    @rule(late=late, number=series, owner=device)
    def make_series(self, late: bool, number: int, owner: str) -> None:
        self._write(
            late,
            """INSERT INTO device (id, name, type) VALUES (%s, 'Truck', 'mutable')
               ON CONFLICT DO NOTHING""",
            owner,
        )
        statement = """INSERT INTO series (id, device_id, variable, type)
                       VALUES (%s, %s, %s, 'number') ON CONFLICT DO NOTHING"""
        self._write(late, statement, number, owner, f"v{number}")

    @rule(number=series)
    def drop_series(self, number: int) -> None:
        self._write(False, "DELETE FROM series WHERE id = %s", number)

    @rule(number=series, owner=device)
    def give_series_away(self, number: int, owner: str) -> None:
        self._write(False, "UPDATE series SET device_id = %s WHERE id = %s", owner, number)

    @rule(owner=device, by_sql=st.booleans())
    def drop_device(self, owner: str, by_sql: bool) -> None:
        if by_sql:
            self._write(False, "DELETE FROM device WHERE id = %s", owner)
        else:
            with suppress(LookupError, ValueError, psycopg.errors.LockNotAvailable):
                delete_device(self.source, owner)

    @rule(owner=device)
    def rename(self, owner: str) -> None:
        self._write(False, "UPDATE device SET name = name || '!' WHERE id = %s", owner)

    @precondition(lambda self: self.writer is None)
    @rule(statement=st.sampled_from(["TRUNCATE variable", "TRUNCATE device CASCADE"]))
    def empty(self, statement: str) -> None:
        self._write(False, statement)

    @precondition(lambda self: self.writer is None)
    @rule(statement=st.sampled_from(REWRITES))
    def rewrite(self, statement: str) -> None:
        if statement.startswith("CLUSTER"):
            statement += " USING variable_series_time"
        self.source.execute(statement.encode())

    @precondition(lambda self: self.writer is None)
    @rule()
    def open_writer(self) -> None:
        self.writer = self._connect()
        self.writer.autocommit = False
        # Begins the transaction, so that statements are savepoints of it.
        self.writer.execute("SELECT")

    @precondition(lambda self: self.writer is not None)
    @rule(commits=st.booleans())
    def close_writer(self, commits: bool) -> None:
        if self.writer:
            self.writer.commit() if commits else self.writer.rollback()
            self.writer.close()
            self.writer = None

    @precondition(lambda self: self.writer is None and not self.replicas)
    @rule()
    def stop_replica(self) -> None:
        self.source.close()
        self.replicas.append(self.resources.enter_context(copied(self.target)))
        self.source = self._connect()

    @precondition(lambda self: self.replicas)
    @rule()
    def fail_over(self) -> None:
        self.close_writer(False)
        self.source.close()
        self.target = self.replicas.pop()
        self.source = self._connect()

    @rule(full=st.integers(0, 5).map(lambda n: n == 0), on=day)
    def snapshot(self, full: bool, on: datetime) -> None:
        """Take a snapshot, while rows arrive and a late writer commits."""
        moment = moment_of(self.target)

        def during(_: object) -> None:
            self.insert(False, 1, on, 1)
            self.close_writer(True)

        manifest = self._attempt(full, Listener(during))
        assert stored_moment(self.storage, manifest) == moment
        self.taken.append((manifest, moment))
        self.retried = None

    @rule(step=st.integers(0, 6), is_retried=st.booleans())
    def killed_snapshot(self, step: int, is_retried: bool) -> None:
        """Die at some step, the last of which is after the marks were committed."""
        steps = [step]

        def die(_: object) -> None:
            steps.append(steps.pop() - 1)
            if steps[0] < 0:
                raise KilledError

        with suppress(KilledError):
            self._attempt(False, Listener(die, on_published=die))
        if not is_retried and self.retried:
            self.storage.delete(manifest_key(self.project, self.retried))
            self.retried = None

    def _attempt(self, full: bool, listener: Listener) -> Manifest:
        """Make the next attempt at a snapshot, as a worker does."""
        base = self.taken[-1][0] if self.taken else None
        if self.retried:
            self.storage.delete(manifest_key(self.project, self.retried))
        self.retried = self.retried or uuid.uuid4()
        destination = Destination(self.storage, self.project, self.retried)
        return take_snapshot(Source(self.target.dsn, 1, base, full), destination, listener)

    @precondition(lambda self: len(self.taken) > 1 and not self.retried)
    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        gone, _ = self.taken.pop(data.draw(st.integers(0, len(self.taken) - 2)))
        self.storage.delete(gone.key)
        swept = sweep(self.storage, self.project, grace=timedelta(seconds=-5))
        assert not swept.missing

    def teardown(self) -> None:
        with self.resources:
            try:
                self.close_writer(True)
                self.snapshot(False, DAYS[0])
                for manifest, moment in self.taken:
                    assert stored_moment(self.storage, manifest) == moment
                # Nothing that was reused describes another device than a full one says.
                self.rename(DEVICES[0])
                newest, again = self._attempt(False, Listener(lambda _: None)), uuid.uuid4()
                self.taken.append((newest, moment_of(self.target)))
                self.retried = again
                full = self._attempt(True, Listener(lambda _: None))
                assert told(self.storage, newest) == told(self.storage, full)
                assert full.untracked == ()
            finally:
                self.source.close()


@pytest.mark.parametrize(("rows", "counted"), [(4, 0), (65_536, 131_072)])
def test_every_snapshot_is_its_moment(
    backups: Backups, monkeypatch: pytest.MonkeyPatch, rows: int, counted: int
) -> None:
    """With days that share no segment, and nothing counted; and as usual."""
    monkeypatch.setattr(segment_plan, "TARGET_ROWS", rows)
    monkeypatch.setattr(full_reread, "TARGET_ROWS", rows)
    monkeypatch.setattr(full_reread, "MAX_COUNTED_ROWS", counted)
    monkeypatch.setattr(contents_index, "TARGET_CELLS", rows)
    run_state_machine_as_test(
        lambda: History(backups), settings=settings(max_examples=4, stateful_step_count=40)
    )


def test_a_snapshot_with_a_history_restores(backups: Backups) -> None:
    """What is read here as Parquet above is loaded into a database."""
    history = History(backups)
    history.begin()
    for on in DAYS:
        history.insert(False, 1, on, 5)
        history.snapshot(False, on)
        history.exchange(False, on, DAYS[0])
    history.delete(False, DAYS[3])
    history.teardown()
    assert backups.contents_of(history.taken[-1][0]) == contents(backups.source)
