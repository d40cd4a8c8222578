"""The scope of evidence: a project, a period, a moment and readers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from backups_portal.evidence.evidence_period import DAY, Period
from backups_portal.projects.models import Project


@dataclass(frozen=True)
class Scope:
    """A project and a period, as of a moment.

    Attributes:
        reader_ids: The accounts that read it. Names of other projects are hidden if any of them
            may not enter those.
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
    def events_until(self) -> datetime:
        """Return until when events may still concern the period's last day."""
        return min(self.period.ends_at + 2 * DAY, self.now)

    @property
    def is_over(self) -> bool:
        """Tell whether the whole period has passed."""
        return self.period.ends_at <= self.now

    @property
    def title(self) -> str:
        """Return the document's title."""
        return f"Backup evidence, {self.project.name}, {self.period.name}"
