"""Decide which snapshots retention removes, and why: a pure function."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

YOUNG = "within the retention period"
NEWEST = "the newest good backup"
HELD = "on hold"
IN_USE = "being restored, proven or downloaded"
OLD = "older than the retention period"
OLD_FAILURE = "failed, and older than the retention period"


@dataclass(frozen=True)
class Kept:
    """What retention has to know about a snapshot.

    Attributes:
        taken_at: The instant of its state; for a failed one, when it was due.
        good: It is stored, and did not fail its proof.
        held: An owner keeps it regardless of its age.
        in_use: A restore, a proof or a download is reading it.
    """

    id: UUID
    taken_at: datetime
    good: bool = True
    held: bool = False
    in_use: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether a snapshot is removed, and the reason."""

    id: UUID
    goes: bool
    reason: str


def decide(snapshots: Sequence[Kept], retention: timedelta, now: datetime) -> list[Verdict]:
    """Decide about each snapshot of one project, in the order given.

    A snapshot is kept for the period after it was taken, to the second: a day of retention is 24
    hours, even when clocks change. The newest good one, one on hold and one in use always stay.
    """
    good = [snapshot for snapshot in snapshots if snapshot.good]
    newest = max(good, key=lambda snapshot: (snapshot.taken_at, snapshot.id.int), default=None)
    return [_verdict(snapshot, snapshot is newest, retention, now) for snapshot in snapshots]


def _verdict(snapshot: Kept, is_newest: bool, retention: timedelta, now: datetime) -> Verdict:
    # In UTC, because arithmetic in a zone uses wall clock time, whose days have 23 to 25 hours.
    if now < snapshot.taken_at.astimezone(UTC) + retention:
        return Verdict(snapshot.id, False, YOUNG)
    # A hold comes first, because an owner asked for it.
    for applies, reason in (
        (snapshot.held, HELD),
        (snapshot.in_use, IN_USE),
        (is_newest, NEWEST),
    ):
        if applies:
            return Verdict(snapshot.id, False, reason)
    return Verdict(snapshot.id, True, OLD if snapshot.good else OLD_FAILURE)
