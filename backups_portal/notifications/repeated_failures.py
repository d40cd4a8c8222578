"""Repeated failures of one backup, while a server or storage comes and goes.

Each time that it is back, the backup of the day is tried again, and has another line in the audit
log if it fails (snapshots/run/recovered_outages.py). One message a day tells its owners enough.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from backups_portal.audit.models import AuditEvent

FAILED = "snapshot.failed"
# An owner who has changed these wants to hear what comes of it.
CHANGES = ("settings.changed", "notifications.changed")
# What fails again has failed on the same local day.
BEFORE = timedelta(days=2)


def repeated_failures(events: Sequence[AuditEvent]) -> set[int]:
    """Find the failures of a backup that had failed before, in one query; return their ids."""
    failures = [event for event in events if event.action == FAILED]
    if not failures:
        return set()
    told = AuditEvent.objects.filter(
        project_id__in={event.project_id for event in failures},
        action__in=(FAILED, *CHANGES),
        at__gt=min(event.at for event in failures) - BEFORE,
    )
    last: dict[UUID | None, str | None] = {}
    repeated = set()
    fields = ("pk", "project_id", "details__snapshot")
    for pk, project_id, snapshot in told.order_by("at", "pk").values_list(*fields):
        if snapshot and last.get(project_id) == snapshot:
            repeated.add(pk)
        last[project_id] = snapshot
    return repeated
