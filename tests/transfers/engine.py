"""Transfers between two bare main databases, without a portal."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from backups_portal.projectdb.record_writer import send
from backups_portal.transfers.move.batches import Outcome
from backups_portal.transfers.move.device_settings import SettingsChanges
from backups_portal.transfers.move.move_run import MoveJob, move
from backups_portal.transfers.move.transfer_check import Line, compare, compare_settings
from backups_portal.transfers.move.transfer_undo import undo
from backups_portal.transfers.move.undo_progress import Undone
from backups_portal.transfers.plan.dry_run import Plan, Planning, make_plan
from backups_portal.transfers.plan.selection import Choice
from restores.snapshot_loader import Target
from tests.projectdatabases import KEYS

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def ignore(outcome: Outcome) -> None:
    """Ignore progress."""


@dataclass
class Transfer:
    """One transfer between two databases."""

    source: Target
    target: Target
    choice: Choice = field(default_factory=Choice)
    limit: int = 0
    batch_rows: int = 100_000
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    plan: Plan | None = None

    @contextmanager
    def databases(self) -> Iterator[tuple[psycopg.Connection[Any], psycopg.Connection[Any]]]:
        """Open both as database_pair.py does."""
        with (
            psycopg.connect(self.source.dsn) as source,
            psycopg.connect(self.target.dsn, autocommit=True) as target,
        ):
            source.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield source, target

    def dry_run(self) -> Plan:
        """Make the plan."""
        with self.databases() as (source, target):
            self.plan = make_plan(
                source,
                target,
                self.choice,
                Planning(limit=self.limit, now=NOW, batch_rows=self.batch_rows),
            )
        return self.plan

    def run(self, on_batch: Callable[[Outcome], None] = ignore) -> list[Line]:
        """Move what the plan contains, and compare."""
        plan = self.plan or self.dry_run()
        with self.databases() as (source, target):
            routes = move(
                source,
                target,
                MoveJob(self.id, plan, self.choice, keys=KEYS, limit=self.limit, now=NOW),
                on_batch=on_batch,
            )
            return compare(target, plan, routes.target, transfer=self.id)

    def settings(self) -> SettingsChanges:
        """Compare tags and parameters after the move."""
        assert self.plan is not None
        with self.databases() as (source, target):
            return compare_settings(source, target, self.plan, transfer=self.id)

    def undo(self) -> Undone:
        """Undo the move."""
        with psycopg.connect(self.target.dsn, autocommit=True) as target:
            done = Undone()
            undo(target, self.id, done, lambda: None)
            return done


def add_device(database: Target, device: str, name: str, **values: Any) -> None:
    """Add a device without a token."""
    columns = {"id": device, "name": name, "type": "mutable", **values}
    with psycopg.connect(database.dsn) as connection:
        names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
        connection.execute(
            f"INSERT INTO device ({names}) VALUES ({marks})".encode(), list(columns.values())
        )


def send_records(database: Target, device: str, *records: dict[str, Any]) -> None:
    """Store records as the API does."""
    with psycopg.connect(database.dsn) as connection:
        send(connection, device_id=device, records=list(records))


def rows_of(database: Target) -> list[tuple[Any, ...]]:
    """Return every record, sorted, without its id and storage time."""
    with psycopg.connect(database.dsn) as connection:
        rows = connection.execute(
            """SELECT device::text, variable, "group", time, coalesce(value::text, 'null'),
                      coalesce(unit, ''), coalesce(location::text, ''), coalesce(metadata::text, '')
               FROM variable_record"""
        ).fetchall()
    return sorted(rows)


def ids_of(database: Target) -> set[str]:
    """Return the ids of all records."""
    with psycopg.connect(database.dsn) as connection:
        return {key for (key,) in connection.execute("SELECT id FROM variable_record")}
