"""Whatever both databases contain, and wherever a run is killed, the rule decides the result."""

import contextlib
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from backups_portal.transfers.move.batches import Outcome
from backups_portal.transfers.plan.selection import Choice, Rule
from restores.snapshot_loader import Target
from tests.transfers.conftest import empty
from tests.transfers.engine import Transfer, add_device, rows_of, send_records

DEVICES = {"a" * 24: "A", "b" * 24: "B"}
START = datetime(2026, 3, 1, tzinfo=UTC)

record = st.fixed_dictionaries(
    {
        "variable": st.sampled_from(["t", "h"]),
        "time": st.integers(0, 3).map(lambda hours: START + timedelta(hours=18 * hours)),
        "group": st.sampled_from(["g1", "g2"]),
        "value": st.sampled_from([1, 2.5, "one", True, None]),
    },
    optional={
        "unit": st.sampled_from(["C", "F"]),
        "metadata": st.sampled_from([{"a": 1}, {"a": 2}]),
        "location": st.just({"lat": 1, "lng": 2}),
    },
)
records = st.lists(st.tuples(st.sampled_from(sorted(DEVICES)), record), max_size=14)


class KilledError(Exception):
    """The worker was killed."""


def expected(source: list[Any], target: list[Any], rule: Rule) -> list[Any]:
    """Apply the rule in ten lines: rows are (device, variable, group, time, …)."""
    there = defaultdict(list)
    for row in target:
        there[row[:4]].append(row)
    new = [row for row in source if rule is Rule.ADD or row[:4] not in there]
    other = [row for row in source if row not in new and row not in there[row[:4]]]
    if rule is Rule.REPLACE and other:
        keys = {row[:4] for row in other}
        target = [row for row in target if row[:4] not in keys or row in source]
        new += other
    return sorted([*target, *new])


@settings(
    max_examples=12,
    deadline=None,
    # A database is made for each example: shrinking would take minutes.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    mine=records,
    theirs=records,
    shared=records,
    rule=st.sampled_from(Rule),
    kills=st.lists(st.integers(0, 4), max_size=2),
    batch_rows=st.sampled_from([2, 5, 100]),
)
def test_the_target_holds_what_the_rule_says_and_undo_brings_it_back(
    databases: tuple[Target, Target],
    mine: list[Any],
    theirs: list[Any],
    shared: list[Any],
    rule: Rule,
    kills: list[int],
    batch_rows: int,
) -> None:
    source, target = databases
    empty(source, target)
    for database, items in ((source, mine + shared), (target, theirs + shared)):
        for device, name in DEVICES.items():
            add_device(database, device, name)
            send_records(database, device, *(item for owner, item in items if owner == device))
    had, before = rows_of(source), rows_of(target)
    transfer = Transfer(source, target, Choice(rule=rule), batch_rows=batch_rows)
    plan = transfer.dry_run()
    assert rows_of(target) == before

    for kill in kills:
        with contextlib.suppress(KilledError):
            transfer.run(_killing(kill))
    lines = transfer.run()

    after = expected(had, before, rule)
    assert rows_of(target) == after
    assert all(line.is_equal for line in lines), lines
    for fate in ("add", "present", "conflict", "replace"):
        assert plan.outcome.rows(fate) == sum(line.fates[fate] for line in lines)
    undone = transfer.undo()
    assert rows_of(target) == before
    assert undone.left == 0


def _killing(after: int) -> Any:
    calls = iter(range(after + 1))

    def on_batch(outcome: Outcome) -> None:
        if next(calls, None) is None:
            raise KilledError

    return on_batch
