"""Plan until when a stored snapshot is locked, from its age and period."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DAY = timedelta(days=1)
# A lock ends a part of the period, and so much at most, after the snapshot may go: what does not
# change is named by each day's snapshot, and need not be locked again by each of them.
SLACK_PART, MOST_SLACK = 7, timedelta(days=7)
# One on hold stays for nobody knows how long: it is locked for so long, again and again.
HELD_FOR = timedelta(days=30)


@dataclass(frozen=True)
class LockPlan:
    """What becomes of a snapshot's lock.

    Attributes:
        least: A lock that ends before is made longer.
        until: It then ends there.
    """

    least: datetime
    until: datetime


def plan_lock(
    taken_at: datetime,
    retention: timedelta,
    now: datetime,
    *,
    held: bool = False,
    newest: bool = False,
) -> LockPlan:
    """Plan how long a snapshot is locked.

    Args:
        held: It stays until somebody releases it.
        newest: It stays until there is a newer good one.
    """
    # In UTC, as retention counts.
    expires = taken_at.astimezone(UTC) + retention
    plan = LockPlan(expires, expires + min(retention / SLACK_PART, MOST_SLACK))
    if held:
        return _at_least(plan, now + HELD_FOR / 2, now + HELD_FOR)
    if newest:
        # If none follows, somebody may see to that.
        return _at_least(plan, now + DAY, now + DAY + retention)
    return plan


def _at_least(plan: LockPlan, least: datetime, until: datetime) -> LockPlan:
    return LockPlan(max(plan.least, least), max(plan.until, until))
