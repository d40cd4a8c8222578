"""Preview what a shorter retention period would delete before it is saved."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime

from backups_portal.projects.models import MainDatabase
from snapshots.retention.expiry import preview_retention
from snapshots.schedule.backup_settings import parse_retention


@dataclass(frozen=True)
class Shortening:
    """Backups that a shorter period deletes and the current one does not.

    Attributes:
        oldest, newest: Local dates of the first and the last of these backups.
        kept: How many other backups are past the period and stay, by reason.
    """

    days: int
    count: int
    oldest: date
    newest: date
    kept: dict[str, int]

    @property
    def answer(self) -> str:
        """Return the answer with which an owner agrees to exactly this."""
        return f"{self.days}:{self.count}"

    def is_agreed(self, answer: str) -> bool:
        """Tell whether at least as many deletions were agreed to."""
        days, _, count = answer.partition(":")
        return days == str(self.days) and count.isdigit() and int(count) >= self.count


def preview_shortening(
    database: MainDatabase, retention_days: str | int, now: datetime
) -> Shortening | None:
    """Preview what saving this period would delete; None if nothing more.

    Raises:
        ValueError: it is not a valid period; the message suits a page.
    """
    days = parse_retention(retention_days)
    if days >= database.retention_days:
        return None
    before = preview_retention(database.pk, database.retention_days, now)
    today = {item.snapshot_id for item in before if item.goes}
    then = preview_retention(database.pk, days, now)
    more = sorted(item.local_date for item in then if item.goes and item.snapshot_id not in today)
    if not more:
        return None
    stays = Counter(item.reason for item in then if not item.goes)
    return Shortening(days, len(more), more[0], more[-1], dict(stays))
