"""Repeated failures of one backup, while a server or storage is flapping.

Each time that it is back, the day's backup is retried, and another failure is another event in the
audit log (snapshots/run/recovered_outages.py). One message a day is enough for the owners.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from backups_portal.audit.models import AuditEvent

FAILED = "snapshot.failed"
# An owner who has just changed these wants to know the result.
CHANGES = ("settings.changed", "notifications.changed")
# Long enough to cover the earlier failure, which was since the same run.
BEFORE = timedelta(days=2)


def repeated_failures(events: Sequence[AuditEvent]) -> set[int]:
    """Return the ids of failures of a backup that had failed before."""
    failures = [event for event in events if event.action == FAILED]
    if not failures:
        return set()
    recent = AuditEvent.objects.filter(
        project_id__in={event.project_id for event in failures},
        action__in=(FAILED, *CHANGES),
        at__gt=min(event.at for event in failures) - BEFORE,
    )
    last: dict[UUID | None, str | None] = {}
    repeated = set()
    fields = ("pk", "project_id", "details__snapshot")
    for pk, project_id, snapshot in recent.order_by("at", "pk").values_list(*fields):
        if snapshot and last.get(project_id) == snapshot:
            repeated.add(pk)
        last[project_id] = snapshot
    return repeated
