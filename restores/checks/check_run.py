"""Run the owner's checks in a scratch database that holds a snapshot.

All of them are about the snapshot's instant, not about now. Only values of type number count:
text, JSON, booleans and records without a value are left out. NaN, which PostgreSQL sorts after
every number, is in no range.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import Connection

from backups_portal.lib.failure_causes import first_line
from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.check_role import check_session
from backups_portal.ui.formats import count, day_and_time, duration
from restores.checks.check_results import CheckResult, Outcome
from restores.models import Check, in_digits

log = get_logger(__name__)

# Time limits for one check, and for all checks of a proof together.
CHECK_SECONDS = 10.0
ALL_SECONDS = 60.0

DEVICE = "SELECT name FROM device WHERE id = %(device)s"
DEVICES = "SELECT count(id) FROM device"
# Reads the index of each series. Records dated after the snapshot are ignored: a device whose clock
# is ahead would pass for years.
NEWEST = """
SELECT max(last.time) FROM series CROSS JOIN LATERAL (
    SELECT time FROM variable WHERE series_id = series.id AND time <= %(now)s
    ORDER BY time DESC LIMIT 1) last
WHERE device_id = %(device)s
"""
VARIABLE = "SELECT count(id) FROM series WHERE variable = %(variable)s"
OF_DEVICE = " AND device_id = %(device)s"
SINCE = " AND time > %(since)s AND time <= %(now)s"
BETWEEN = """
SELECT count(number), count(*) - count(number) AS others,
       count(number) FILTER (WHERE is_outside), count(number) FILTER (WHERE number = 'NaN'),
       min(number) FILTER (WHERE number <> 'NaN'), max(number) FILTER (WHERE number <> 'NaN'),
       max(time) FILTER (WHERE is_outside)
FROM (
    SELECT time, number, number NOT BETWEEN %(low)s AND %(high)s AS is_outside
    FROM series CROSS JOIN LATERAL (
        SELECT time, CASE series.type WHEN 'number' THEN number_value END AS number
        FROM variable WHERE series_id = series.id
"""
OF_VARIABLE = ") value WHERE variable = %(variable)s"


class UnanswerableError(Exception):
    """A check cannot be run; the message is a clause that says why."""


class ScratchDatabase(NamedTuple):
    """The database to check: server URL, prefix, and instant of the data."""

    url: str
    prefix: str
    taken_at: datetime


@dataclass
class Checked:
    """The outcome of all checks.

    Attributes:
        names: Device names in the snapshot, by id.
        is_clean: False if the role of the checks may be left in the database.
    """

    results: list[CheckResult] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    is_clean: bool = True


def run_checks(
    checks: Sequence[Check], place: ScratchDatabase, *, before_each: Callable[[], None]
) -> Checked:
    """Run checks, each within its time limit; report errors as results.

    Args:
        before_each: Called before each check; may raise to abort.
    """
    done = Checked()
    if not checks:
        return done
    deadline = time.monotonic() + ALL_SECONDS
    try:
        with check_session(
            place.url, prefix=place.prefix, statement_seconds=CHECK_SECONDS
        ) as session:
            for check in checks:
                before_each()
                _Run(session, check, place.taken_at, done).answer(deadline)
    except psycopg.Error as error:
        log.warning("checks of %s ended early", place.prefix, exc_info=True)
        done.is_clean = False
        why = f"the scratch database did not answer ({first_line(error)})"
        rest = checks[len(done.results) :]
        done.results += [
            CheckResult(str(check.pk), check.sentence, Outcome.NOT_RUN, why) for check in rest
        ]
    return done


class _Run:
    """One check in a session."""

    def __init__(
        self, session: Connection, check: Check, taken_at: datetime, done: Checked
    ) -> None:
        self._session, self._check, self._taken_at, self._done = session, check, taken_at, done
        self._until = 0.0
        self._limit = ""

    def answer(self, deadline: float) -> None:
        """Add the check's result; raise psycopg.Error if the session is lost."""
        self._until = time.monotonic() + CHECK_SECONDS
        self._limit = f"it took longer than {CHECK_SECONDS:.2g} seconds"
        if deadline < self._until:
            self._until = deadline
            self._limit = f"the {ALL_SECONDS:g} seconds for all checks were used up"
        try:
            outcome, finding = self._ask()
        except UnanswerableError as error:
            outcome, finding = Outcome.NOT_RUN, str(error)
        except psycopg.Error as error:
            if self._session.closed:
                raise
            outcome, finding = Outcome.NOT_RUN, f"PostgreSQL refused it ({first_line(error)})"
        check = self._check
        self._done.results.append(CheckResult(str(check.pk), check.sentence, outcome, finding))

    def _ask(self) -> tuple[Outcome, str]:
        check = self._check
        if check.device_id:
            self._name_device()
        if check.kind not in Check.Kind:
            raise UnanswerableError("it needs a newer version of Backups Portal")
        asked = {
            Check.Kind.NEWEST: self._newest,
            Check.Kind.DEVICES: self._devices,
            Check.Kind.BETWEEN: self._between,
        }
        return asked[Check.Kind(check.kind)]()

    def _name_device(self) -> None:
        (name,) = self._look(DEVICE) or (None,)
        if name is None:
            raise UnanswerableError("this backup has no such device")
        self._check.device_name = self._done.names[self._check.device_id] = name

    def _newest(self) -> tuple[Outcome, str]:
        (newest,) = self._look(NEWEST) or (None,)
        if newest is None:
            return Outcome.FAILED, "it has no record from before the backup"
        age = self._taken_at - newest
        found = f"its newest is {_length(age)} older than the backup"
        is_young = age < timedelta(hours=self._check.hours or 0)
        return (Outcome.PASSED if is_young else Outcome.FAILED), found

    def _devices(self) -> tuple[Outcome, str]:
        (found,) = self._look(DEVICES)
        is_enough = found >= (self._check.at_least or 0)
        return (Outcome.PASSED if is_enough else Outcome.FAILED), f"the backup has {found:,}"

    def _between(self) -> tuple[Outcome, str]:
        of_device: LiteralString = OF_DEVICE if self._check.device_id else ""
        (known,) = self._look(VARIABLE + of_device)
        if not known:
            raise UnanswerableError("this backup has no such variable")
        since: LiteralString = SINCE if self._check.hours else ""
        numbers, others, outside, nan, low, high, last = self._look(
            BETWEEN + since + OF_VARIABLE + of_device + ") record"
        )
        if not numbers:
            raise UnanswerableError(self._without_numbers(others))
        span = f"from {in_digits(low)} to {in_digits(high)}" if low is not None else "all NaN"
        notes = [f"; {nan:,} {'is' if nan == 1 else 'are'} NaN"] if nan and low is not None else []
        if others:
            notes.append(f"; {count(others, 'record')} without a number")
        if not outside:
            return Outcome.PASSED, f"{count(numbers, 'value')}, {span}{''.join(notes)}"
        newest = f"the last of them on {day_and_time(last)} UTC"
        found = f"{outside:,} of {numbers:,} values outside, {newest}; values {span}"
        return Outcome.FAILED, found + "".join(notes)

    def _without_numbers(self, others: int) -> str:
        period = f" of the last {count(self._check.hours, 'hour')}" if self._check.hours else ""
        if others:
            return f"none of its {others:,} records{period} holds a number"
        return f"it has no records{period}"

    def _look(self, statement: LiteralString) -> tuple[Any, ...]:
        """Ask for one row, within the time that is left; () if there is none."""
        left = int((self._until - time.monotonic()) * 1000)
        if left <= 0:
            raise UnanswerableError(self._limit)
        try:
            # The transaction keeps the shortened timeout from applying to other statements.
            with self._session.transaction():
                self._session.execute(
                    "SELECT set_config('statement_timeout', %s, true)", [f"{left}ms"]
                )
                row = self._session.execute(statement, self._parameters()).fetchone()
        except psycopg.errors.QueryCanceled as error:
            raise UnanswerableError(self._limit) from error
        return row or ()

    def _parameters(self) -> dict[str, object]:
        check = self._check
        return {
            "device": check.device_id,
            "variable": check.variable,
            "now": self._taken_at,
            "since": self._taken_at - timedelta(hours=check.hours or 0),
            "low": check.low,
            "high": check.high,
        }


def _length(age: timedelta) -> str:
    """Write an age in hours, as the checks do."""
    hours, seconds = divmod(int(age.total_seconds()), 3600)
    return f"{hours:,} h {seconds // 60} min" if hours else duration(age)
