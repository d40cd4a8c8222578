"""Plan how long a snapshot is locked, from its age and the retention."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DAY = timedelta(days=1)
# A lock outlasts the retention period by this part of it, at most this long: each day's snapshot
# names the unchanged objects, and does not have to lock them again every day.
SLACK_PART, MAX_SLACK = 7, timedelta(days=7)
# A hold has no end, so its lock is extended by this much, again and again.
HELD_FOR = timedelta(days=30)


@dataclass(frozen=True)
class LockPlan:
    """The decision about a snapshot's lock.

    Attributes:
        least: A lock that ends earlier than this is extended.
        until: The new end of an extended lock.
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
        held: An owner keeps it until the hold is released.
        newest: It is kept until there is a newer good one.
    """
    # In UTC, as retention calculates.
    expires = taken_at.astimezone(UTC) + retention
    plan = LockPlan(expires, expires + min(retention / SLACK_PART, MAX_SLACK))
    if held:
        return _at_least(plan, now + HELD_FOR / 2, now + HELD_FOR)
    if newest:
        # If no newer one follows, this leaves time to find out why.
        return _at_least(plan, now + DAY, now + DAY + retention)
    return plan


def _at_least(plan: LockPlan, least: datetime, until: datetime) -> LockPlan:
    return LockPlan(max(plan.least, least), max(plan.until, until))
