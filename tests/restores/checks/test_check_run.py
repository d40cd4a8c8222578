"""Each kind of check passes, fails or cannot run, and names the reason."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import psycopg
import pytest
from django.conf import settings

from backups_portal.projectdb.provisioning import checks_role
from restores.checks import check_run
from restores.checks.check_results import CheckResult, Outcome
from restores.checks.check_run import ScratchDatabase, run_checks
from restores.models import Check
from tests.projectdatabases import (
    DEVICE,
    START,
    Connection,
    Target,
    add_device,
    add_rows,
    main_database,
    open_database,
)

Kind = Check.Kind
TAKEN = START + timedelta(hours=31)
OTHER, SILENT, GONE = "e" * 24, "f" * 24, "a" * 24
QUOTED = """Robert'); DROP TABLE "variable"; --"""
LONG = "v" * 200
# Values beyond all numbers, and values that are not numbers.
ODD = [
    ("odd", "number", "'NaN'", "NULL"),
    ("odd", "number", "21", "NULL"),
    ("odd", "number", "NULL", "NULL"),
    ("odd", "string", "NULL", "'warm'"),
    ("odd", "string", "NULL", """'{"json": 1}'"""),
    ("odd", "boolean", "1", "NULL"),
    ("odd", "none", "NULL", "NULL"),
    ("text", "string", "NULL", "'warm'"),
    ("all_nan", "number", "'NaN'", "NULL"),
    ("endless", "number", "'Infinity'", "NULL"),
    (LONG, "number", "1", "NULL"),
    (QUOTED, "number", "1", "NULL"),
]


@pytest.fixture(scope="module")
def target(project_server: str) -> Iterator[Target]:
    """Ten readings from 0 to 1.125 at the start, and another device's odd values."""
    with main_database() as made, open_database(made) as connection:
        add_device(connection)
        add_rows(connection, 0, 10)
        for device, name in ((OTHER, QUOTED), (SILENT, "Silent")):
            connection.execute(
                "INSERT INTO device (id, name, type) VALUES (%s, %s, 'mutable')", [device, name]
            )
        for variable, kind, number, text in ODD:
            add_value(connection, variable, kind, number, text)
        # Its clock is wrong.
        add_value(connection, "ahead", "number", "1", "NULL", at="2099-01-01Z")
        yield made


def add_value(
    connection: Connection, variable: str, kind: str, *values: str, at: str = "2026-03-02Z"
) -> None:
    connection.execute(
        "INSERT INTO series (device_id, variable, type) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        [OTHER, variable, kind],
    )
    connection.execute(
        "INSERT INTO variable (series_id, time, number_value, text_value, group_key)"
        f" SELECT id, '{at}', {', '.join(values)}, 'g' FROM series"
        " WHERE device_id = %s AND variable = %s AND type = %s".encode(),
        [OTHER, variable, kind],
    )


def place(target: Target, taken_at: datetime = TAKEN) -> ScratchDatabase:
    return ScratchDatabase(settings.PROJECT_DATABASE_URL, target.prefix, taken_at)


def run(target: Target, *checks: Check, taken_at: datetime = TAKEN) -> list[CheckResult]:
    return run_checks(checks, place(target, taken_at), before_each=lambda: None).results


def newest(hours: int, device: str = DEVICE, name: str = "Truck") -> Check:
    return Check(kind=Kind.NEWEST, device_id=device, device_name=name, hours=hours)


def between(
    low: float, high: float, variable: str = "temperature_1", device: str = "", hours: int = 0
) -> Check:
    return Check(
        kind=Kind.BETWEEN,
        device_id=device,
        device_name="Truck" if device else "",
        variable=variable,
        low=low,
        high=high,
        hours=hours or None,
    )


def devices(number: int) -> Check:
    return Check(kind=Kind.DEVICES, at_least=number)


PASSED, FAILED, NOT_RUN = Outcome
ODD_NOTES = "1 is NaN; 5 records without a number"
LAST = "the last of them on 2 Mar 2026, 00:00 UTC"
CASES = {
    # The last reading is nine minutes after the start.
    "young enough": (newest(31), PASSED, "its newest is 30 h 51 min older than the backup"),
    "too old": (newest(30), FAILED, "its newest is 30 h 51 min older than the backup"),
    "silent": (newest(9, SILENT), FAILED, "it has no record from before the backup"),
    "no such device": (newest(9, GONE), NOT_RUN, "this backup has no such device"),
    "as many devices": (devices(3), PASSED, "the backup has 3"),
    "fewer devices": (devices(4), FAILED, "the backup has 3"),
    "at the edges": (between(0, 1.125), PASSED, "10 values, from 0 to 1.125"),
    "one above": (
        between(0, 1),
        FAILED,
        "1 of 10 values outside, the last of them on 1 Mar 2026, 00:09 UTC; values from 0 to 1.125",
    ),
    "one below": (
        between(0.125, 60, device=DEVICE),
        FAILED,
        "1 of 10 values outside, the last of them on 1 Mar 2026, 00:00 UTC; values from 0 to 1.125",
    ),
    "of these hours": (between(9, 10, hours=30), NOT_RUN, "it has no records of the last 30 hours"),
    "of enough hours": (between(0, 2, hours=31), PASSED, "9 values, from 0.125 to 1.125"),
    "not of this device": (
        between(0, 2, device=SILENT),
        NOT_RUN,
        "this backup has no such variable",
    ),
    "NaN is in no range": (
        between(-1e308, 1e308, "odd"),
        FAILED,
        f"1 of 2 values outside, {LAST}; values from 21 to 21; {ODD_NOTES}",
    ),
    "only NaN": (
        between(0, 1, "all_nan", OTHER),
        FAILED,
        f"1 of 1 values outside, {LAST}; values all NaN",
    ),
    "infinity": (
        between(0, 1e308, "endless"),
        FAILED,
        f"1 of 1 values outside, {LAST}; values from inf to inf",
    ),
    "only text": (between(0, 1, "text"), NOT_RUN, "none of its 1 records holds a number"),
    "no such variable": (between(0, 1, "x"), NOT_RUN, "this backup has no such variable"),
    "a long name": (between(0, 1, LONG), PASSED, "1 value, from 1 to 1"),
    "a quoted name": (between(0, 1, QUOTED, OTHER), PASSED, "1 value, from 1 to 1"),
    "of a newer version": (
        Check(kind="fewer"),
        NOT_RUN,
        "it needs a newer version of Backups Portal",
    ),
    "a wrong clock": (newest(2, OTHER), FAILED, "its newest is 7 h 0 min older than the backup"),
}


def test_every_case(target: Target, subtests: pytest.Subtests) -> None:
    results = run(target, *(check for check, _, _ in CASES.values()))
    for name, found in zip(CASES, results, strict=True):
        with subtests.test(name):
            assert (found.outcome, found.finding) == CASES[name][1:]


def test_age_is_that_at_the_instant_of_the_backup(target: Target) -> None:
    (found,) = run(target, newest(1), taken_at=START + timedelta(minutes=10))
    assert (found.outcome, found.finding) == (
        PASSED,
        "its newest is 1\N{NO-BREAK SPACE}min older than the backup",
    )
    # A reading after the backup's instant can only be in it if it was dated ahead.
    (found,) = run(target, newest(1), taken_at=START - timedelta(minutes=1))
    assert (found.outcome, found.finding) == (FAILED, "it has no record from before the backup")


def test_a_device_is_called_as_it_is_by_now(target: Target) -> None:
    done = run_checks([newest(9, OTHER, "Old name")], place(target), before_each=lambda: None)
    assert done.names == {OTHER: QUOTED}
    assert done.results[0].sentence == f"{QUOTED} has a record younger than 9 hours"


@contextmanager
def blocked(target: Target) -> Iterator[Callable[[], None]]:
    """The records are locked before the first check, and unlocked before the second."""
    with psycopg.connect(target.dsn) as blocking:
        steps = iter((lambda: blocking.execute("LOCK TABLE variable"), blocking.rollback))
        yield lambda: next(steps, blocking.rollback)()


def test_what_takes_too_long_says_so_and_the_rest_goes_on(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_run, "CHECK_SECONDS", 1)
    with blocked(target) as step:
        slow, quick = run_checks([newest(9), newest(99)], place(target), before_each=step).results
    assert (slow.outcome, slow.finding) == (NOT_RUN, "it took longer than 1 seconds")
    assert quick.outcome == PASSED


def test_all_together_have_a_limit(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_run, "ALL_SECONDS", 0.3)
    with blocked(target) as step:
        checks = [newest(99) for _ in range(20)]
        done = run_checks(checks, place(target), before_each=step).results
    assert {one.finding for one in done} == {"the 0.3 seconds for all checks were used up"}
    assert [one.outcome for one in done] == [NOT_RUN] * len(checks)


def test_a_server_that_goes_away_fails_no_check(target: Target) -> None:
    def lose() -> None:
        with psycopg.connect(target.dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = %s",
                [checks_role(target.prefix)],
            )

    done = run_checks([devices(1), devices(2)], place(target), before_each=lose)
    assert [one.outcome for one in done.results] == [NOT_RUN, NOT_RUN]
    assert not done.is_clean


def test_a_role_that_cannot_be_made_fails_no_check(target: Target) -> None:
    elsewhere = ScratchDatabase("postgresql://nobody@127.0.0.1:1/none", target.prefix, TAKEN)
    done = run_checks([devices(1)], elsewhere, before_each=lambda: None)
    assert done.results[0].outcome == NOT_RUN
    assert done.results[0].finding.startswith("the scratch database did not answer (")
    assert "127.0.0.1" not in done.results[0].finding


def test_what_takes_the_work_away_ends_it_and_leaves_no_role(target: Target) -> None:
    def stop() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_checks([devices(1)], place(target), before_each=stop)
    with psycopg.connect(settings.PROJECT_DATABASE_URL) as server:
        role = [checks_role(target.prefix)]
        assert server.execute("SELECT FROM pg_roles WHERE rolname = %s", role).fetchone() is None


def test_without_checks_nothing_is_opened() -> None:
    nowhere = ScratchDatabase("postgresql://nobody@127.0.0.1:1/none", "0badf00e", TAKEN)
    assert run_checks([], nowhere, before_each=lambda: None).results == []


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (newest(26, name="Truck 07"), "Truck 07 has a record younger than 26 hours"),
        (newest(1), "Truck has a record younger than 1 hour"),
        (newest(1, name="\u202etxt"), "txt has a record younger than 1 hour"),
        (devices(1), "At least 1 device"),
        (Check(kind="fewer"), "A check of a newer version of Backups Portal"),
        (devices(12_000), "At least 12,000 devices"),
        (
            between(-40, 60, "temperature"),
            "temperature of every device is between \N{MINUS SIGN}40 and 60",
        ),
        (
            between(-0.5, 1e300, "t", DEVICE, 24),
            "t of Truck is between \N{MINUS SIGN}0.5 and 1e+300 in the last 24 hours",
        ),
    ],
)
def test_sentences(check: Check, sentence: str) -> None:
    assert str(check) == sentence
