"""When objectives were missed, computed from backups and restore times.

A loss at any moment costs everything newer than the newest good backup that was stored by then. So
a recovery point is missed from the moment at which that backup is older than the limit until a
newer one is stored. A recovery time is missed from a measurement that took longer than the limit
until one that did not.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple


class Backup(NamedTuple):
    """A good backup: the instant it contains, and when it was stored."""

    taken_at: datetime
    stored_at: datetime


class Measurement(NamedTuple):
    """A restore or a proof: when it ended, and how long restoring took."""

    at: datetime
    took: timedelta


class Period(NamedTuple):
    """The time to judge.

    Attributes:
        since: Everything before this has been judged already.
        until: The present.
        floor: No breach begins before this moment, at which the objective was set or resumed, or
            its last breach ended. A breach that begins between `floor` and `since` was unknown at
            the last judgement.
    """

    since: datetime
    until: datetime
    floor: datetime


class Spell(NamedTuple):
    """A time for which a limit was exceeded; it lasts if `ended_at` is None.

    Attributes:
        worst: The greatest age of the newest backup, or the longest restore.
    """

    began_at: datetime
    ended_at: datetime | None
    worst: timedelta


def late_backups(
    newest: datetime | None, later: Iterable[Backup], limit: timedelta, period: Period
) -> list[Spell]:
    """Find when the newest good backup was older than the limit.

    Args:
        newest: The instant of the newest backup at the beginning; None: no backup is due yet.
        later: The backups stored within the period, in any order.
    """
    return list(_joined(_late(newest, later, limit, period), period.until))


def slow_restores(
    last: Measurement | None, later: Iterable[Measurement], limit: timedelta, period: Period
) -> list[Spell]:
    """Find when the last measured restore had taken longer than the limit.

    Args:
        last: The last measurement before the period, if any.
        later: The measurements within it, in any order.
    """
    measured = [*([last] if last else []), *sorted(later)]
    ends = [one.at for one in measured[1:]] + [period.until]
    spells = (
        Spell(max(one.at, period.floor), end, one.took)
        for one, end in zip(measured, ends, strict=False)
        if one.took > limit and end >= period.floor
    )
    return list(_joined(spells, period.until))


def _late(
    newest: datetime | None, later: Iterable[Backup], limit: timedelta, period: Period
) -> Iterator[Spell]:
    begin = period.floor
    for backup in sorted(later, key=lambda one: one.stored_at):
        yield from _exceeded(newest, limit, begin, backup.stored_at)
        newest = max(backup.taken_at, newest or backup.taken_at)
        begin = max(backup.stored_at, period.floor)
    yield from _exceeded(newest, limit, begin, period.until)


def _exceeded(
    newest: datetime | None, limit: timedelta, begin: datetime, end: datetime
) -> Iterator[Spell]:
    if newest is not None and (began := max(newest + limit, begin)) < end:
        yield Spell(began, end, end - newest)


def _joined(spells: Iterable[Spell], until: datetime) -> Iterator[Spell]:
    """Join adjacent spells; one that reaches the present has not ended."""
    current: Spell | None = None
    for spell in spells:
        if current and current.ended_at == spell.began_at:
            worst = max(current.worst, spell.worst)
            current = Spell(current.began_at, spell.ended_at, worst)
            continue
        if current:
            yield current
        current = spell
    if current:
        lasts = current.ended_at is not None and current.ended_at >= until
        yield current._replace(ended_at=None) if lasts else current
