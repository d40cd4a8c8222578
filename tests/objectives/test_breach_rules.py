"""Breaches of objectives, determined from backups and measured restores alone."""

from datetime import UTC, datetime, timedelta

import pytest

from backups_portal.objectives.breach_rules import (
    Backup,
    Measurement,
    Period,
    Spell,
    late_backups,
    slow_restores,
)

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
BEGIN = datetime(2026, 11, 23, tzinfo=UTC)
LIMIT = 26 * HOUR


def at(hours: float) -> datetime:
    return BEGIN + hours * HOUR


def period(until: float, *, since: float = 0, floor: float | None = None) -> Period:
    return Period(at(since), at(until), at(since if floor is None else floor))


def backup(taken: float, stored: float | None = None) -> Backup:
    return Backup(at(taken), at(taken if stored is None else stored))


class TestLateBackups:
    def test_a_backup_a_day_is_never_too_late(self) -> None:
        daily = [backup(24 * day, 24 * day + 0.5) for day in range(1, 5)]
        assert late_backups(at(0), daily, LIMIT, period(110)) == []

    def test_a_day_without_one_breaks_until_the_next_is_stored(self) -> None:
        found = late_backups(at(0), [backup(48, 49)], LIMIT, period(60))
        assert found == [Spell(at(26), at(49), 49 * HOUR)]

    def test_to_the_microsecond(self) -> None:
        instant = timedelta(microseconds=1)
        just = Period(at(0), at(26), at(0))
        assert late_backups(at(0), [], LIMIT, just) == []
        (spell,) = late_backups(at(0), [], LIMIT, just._replace(until=at(26) + instant))
        assert spell == Spell(at(26), None, 26 * HOUR + instant)

    def test_what_is_being_taken_does_not_count_before_it_is_stored(self) -> None:
        assert late_backups(at(0), [backup(24, 26)], LIMIT, period(30)) == []
        (spell,) = late_backups(at(0), [backup(24, 27)], LIMIT, period(30))
        assert (spell.began_at, spell.ended_at) == (at(26), at(27))

    def test_a_backup_that_was_old_when_it_was_stored_ends_nothing(self) -> None:
        found = late_backups(at(0), [backup(1, 30), backup(31)], LIMIT, period(40))
        assert found == [Spell(at(26), at(31), 30 * HOUR)]

    def test_an_older_one_that_is_stored_later_changes_nothing(self) -> None:
        found = late_backups(at(0), [backup(-24, 10), backup(24)], LIMIT, period(40))
        assert found == []

    def test_two_breaches(self) -> None:
        found = late_backups(at(0), [backup(30), backup(60)], LIMIT, period(70))
        assert [(one.began_at, one.ended_at) for one in found] == [
            (at(26), at(30)),
            (at(56), at(60)),
        ]

    def test_it_does_not_begin_before_the_objective(self) -> None:
        (spell,) = late_backups(at(-40), [], LIMIT, period(2))
        assert spell == Spell(at(0), None, 42 * HOUR)

    def test_what_is_known_late_began_when_it_did(self) -> None:
        """A backup that counted fails its proof: the previous one has been too old for long."""
        (spell,) = late_backups(at(0), [], LIMIT, period(41, since=40, floor=-100))
        assert spell == Spell(at(26), None, 41 * HOUR)

    def test_without_any_nothing_is_late(self) -> None:
        assert late_backups(None, [], LIMIT, period(1000)) == []
        (spell,) = late_backups(None, [backup(100)], LIMIT, period(127))
        assert spell.began_at == at(126)

    def test_a_day_of_25_hours(self) -> None:
        """Berlin sets its clocks back on 25 October 2026: 03:00 comes 25 hours later."""
        before = datetime(2026, 10, 24, 1, tzinfo=UTC)
        after = before + 25 * HOUR
        judged = Period(before, after + HOUR, before)
        stored = [Backup(after, after + MINUTE)]
        assert late_backups(before, stored, 26 * HOUR, judged) == []
        (spell,) = late_backups(before, stored, 25 * HOUR, judged)
        assert (spell.began_at, spell.ended_at) == (after, after + MINUTE)


def measured(hours: float, minutes: float) -> Measurement:
    return Measurement(at(hours), minutes * MINUTE)


class TestSlowRestores:
    @pytest.mark.parametrize("later", [[], [measured(3, 30)]])
    def test_none_or_quick_ones(self, later: list[Measurement]) -> None:
        assert slow_restores(None, later, 30 * MINUTE, period(10)) == []

    def test_from_a_slow_one_to_a_quick_one(self) -> None:
        later = [measured(5, 45), measured(2, 31), measured(8, 10)]
        found = slow_restores(measured(-9, 3), later, 30 * MINUTE, period(10))
        assert found == [Spell(at(2), at(8), 45 * MINUTE)]

    def test_one_that_was_slow_before_breaks_it_at_once(self) -> None:
        found = slow_restores(measured(-9, 45), [], 30 * MINUTE, period(10))
        assert found == [Spell(at(0), None, 45 * MINUTE)]
