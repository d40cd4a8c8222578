"""When a project was shut down, according to its audit log."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import Project

STOPPED, STARTED = "project.shut_down", "project.started_again"


class ShutdownPeriod(NamedTuple):
    """The time of a shut-down; `ends` is None if it still lasts."""

    begins: datetime
    ends: datetime | None

    def has(self, moment: datetime) -> bool:
        """Tell whether the project was shut down at a moment."""
        return self.begins <= moment and (self.ends is None or moment < self.ends)


def shutdown_periods(project: Project) -> list[ShutdownPeriod]:
    """Return a project's periods, the oldest first, in one query."""
    events = AuditEvent.objects.filter(project_id=project.pk, action__in=(STOPPED, STARTED))
    return pair_shutdowns(events.order_by("at", "pk").only("at", "action"))


def pair_shutdowns(events: Iterable[AuditEvent]) -> list[ShutdownPeriod]:
    """Pair each shut-down with the next start; ignore events of other actions.

    Args:
        events: The events of one project, the oldest first.
    """
    found: list[ShutdownPeriod] = []
    for event in events:
        is_stopped = bool(found) and found[-1].ends is None
        if event.action == STOPPED and not is_stopped:
            found.append(ShutdownPeriod(event.at, None))
        elif event.action == STARTED and is_stopped:
            found[-1] = ShutdownPeriod(found[-1].begins, event.at)
    return found
