"""Undoing a move loses nothing that others write into both databases meanwhile."""

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
import pytest

from backups_portal.transfers.move.batches import Outcome
from backups_portal.transfers.plan.selection import Choice, Rule
from restores.snapshot_loader import Target
from tests.projectdatabases import Connection, open_database
from tests.transfers.engine import Transfer, add_device

DEVICES = ("a" * 24, "b" * 24)
SETTLED = Rule.SKIP, Rule.REPLACE
# Many share the same moment and group, so that rules have something to decide.
ADD = """INSERT INTO variable (series_id, time, number_value, group_key)
    SELECT series.id, timestamptz '2026-03-01Z' + n %% %s * interval '7 hours', n %% 4, 'g'
    FROM generate_series(1, %s) AS n JOIN series ON series.id = 1 + n %% 4 RETURNING id"""
ANY = "SELECT id FROM variable ORDER BY hashint8(id + %s) LIMIT 1"
EDIT = f"UPDATE variable SET number_value = number_value + 100 WHERE id = ({ANY}) RETURNING id"
DELETE = f"DELETE FROM variable WHERE id = ({ANY}) RETURNING id"


class KilledError(Exception):
    """The worker was killed."""


@dataclass
class Writer:
    """Adds, edits and deletes records continuously, and remembers which."""

    source: Target
    target: Target
    added: set[object] = field(default_factory=set)
    touched: set[object] = field(default_factory=set)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        stop = threading.Event()
        failures: list[BaseException] = []

        def write() -> None:
            try:
                with open_database(self.source) as source, open_database(self.target) as target:
                    for turn in itertools.count():
                        self._write(source, target, turn)
                        if stop.wait(0.002):
                            return
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        assert not failures

    def _write(self, source: Connection, target: Connection, turn: int) -> None:
        for statement, rate in ((EDIT, 3), (DELETE, 5)):
            if turn % rate == 0:
                source.execute(statement, [turn])
                self.touched |= {*target.execute(statement, [turn]).fetchall()}
        source.execute(ADD, [turn % 40 + 1, 2])
        self.added |= {*target.execute(ADD, [turn % 30 + 1, 1]).fetchall()}


def fill(database: Target, count: int, times: int) -> None:
    with open_database(database) as connection:
        for device in DEVICES:
            add_device(database, device, device[0])
            connection.execute(
                """INSERT INTO series (device_id, variable, type)
                   VALUES (%s, 't', 'number'), (%s, 'h', 'number')""",
                [device, device],
            )
        connection.execute(ADD, [times, count])


def records(database: Target) -> dict[object, tuple[object, ...]]:
    with psycopg.connect(database.dsn) as connection:
        rows = connection.execute(
            "SELECT id, series_id, time, number_value, group_key, created_at FROM variable"
        ).fetchall()
    return {row[:1]: row for row in rows}


def killing(after: int) -> Callable[[Outcome], None]:
    calls = iter(range(after))

    def on_batch(outcome: Outcome) -> None:
        if next(calls, None) is None:
            raise KilledError

    return on_batch


@pytest.mark.parametrize("kills", [(), (1, 4, 2)])
@pytest.mark.parametrize("rule", Rule)
def test_everything_is_told_apart(
    source: Target, target: Target, rule: Rule, kills: tuple[int, ...]
) -> None:
    fill(source, 150, 35)
    fill(target, 60, 25)
    before, writer = records(target), Writer(source, target)
    transfer = Transfer(source, target, Choice(rule=rule), batch_rows=15)
    transfer.dry_run()
    with writer.at_work():
        for kill in kills:
            with contextlib.suppress(KilledError):
                transfer.run(killing(kill))
        transfer.run()
    assert writer.touched

    between = records(target)
    with open_database(source) as connection:
        connection.execute("UPDATE variable SET number_value = -id WHERE id % 5 = 0")
    choice = Choice(rule=rule if rule in SETTLED else Rule.SKIP)
    second = Transfer(source, target, choice, batch_rows=15)
    assert all(line.is_equal for line in second.run())
    assert Transfer(source, target, choice).dry_run().cost == 0
    assert second.undo().left == 0
    assert records(target) == between

    transfer.undo()
    after = records(target)
    assert after.keys() <= before.keys() | writer.added | writer.touched
    if rule is not Rule.REPLACE:
        untouched = before.keys() - writer.touched
        assert all(after.get(key) == before[key] for key in untouched)
        assert after.keys() >= writer.added - writer.touched
