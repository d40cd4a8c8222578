"""What evidence is about, as of when, and for whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from backups_portal.evidence.evidence_period import DAY, Period
from backups_portal.projects.models import Project


@dataclass(frozen=True)
class Scope:
    """A project and a period, as of a moment.

    Attributes:
        reader_ids: The accounts that read it: names of other projects that one of them may not
            enter are left out.
    """

    project: Project
    period: Period
    now: datetime
    reader_ids: Sequence[int]

    @property
    def until(self) -> datetime:
        """Return the end of the period, or now if that is earlier."""
        return min(self.period.ends_at, self.now)

    @property
    def told_until(self) -> datetime:
        """Return until when events still tell of the last day of the period."""
        return min(self.period.ends_at + 2 * DAY, self.now)

    @property
    def is_over(self) -> bool:
        """Tell whether the whole period has passed."""
        return self.period.ends_at <= self.now

    @property
    def title(self) -> str:
        """Name the document."""
        return f"Backup evidence, {self.project.name}, {self.period.name}"
