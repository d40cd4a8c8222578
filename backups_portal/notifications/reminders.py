"""Reminders of restored projects that still run, and still cost money."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import DurationField, Exists, ExpressionWrapper, F, OuterRef, QuerySet, Value
from django.db.models.functions import Coalesce

from backups_portal.audit.models import AuditEvent
from backups_portal.audit.recorder import record
from backups_portal.notifications.models import REMINDER_DAYS
from backups_portal.projects.models import Project
from backups_portal.ui.formats import count
from backups_portal.ui.visible_names import seen_name
from restores.models import Restore

BATCH = 500
DAY = timedelta(days=1)
ACTION = "project.still_running"


def remind_of_running(now: datetime) -> int:
    """Record restored projects that still run after `reminder_days`.

    Each is recorded again after as many days. Returns how many were recorded.
    """
    reminded = 0
    last = UUID(int=0)
    while found := list(_running_on(now).filter(pk__gt=last).order_by("pk")[:BATCH]):
        reminded += sum(_remind(restore.pk, now) for restore in found)
        last = found[-1].pk
    return reminded


def _running_on(now: datetime) -> QuerySet[Restore]:
    days = Coalesce(F("project__notification_settings__reminder_days"), Value(REMINDER_DAYS))
    period = ExpressionWrapper(days * Value(DAY), output_field=DurationField())
    # The audit log's index over project and time makes this cheap: these days have few events.
    reminded = AuditEvent.objects.filter(
        project_id=OuterRef("project_id"), action=ACTION, at__gt=now - OuterRef("period")
    )
    return (
        Restore.objects.filter(state=Restore.State.COMPLETED, project__state=Project.State.ACTIVE)
        .annotate(period=period)
        .filter(finished_at__lte=now - F("period"))
        .exclude(Exists(reminded))
    )


@transaction.atomic
def _remind(restore_id: UUID, now: datetime) -> bool:
    """Record it, unless a concurrent scan holds the lock or has done so."""
    rows = Restore.objects.select_for_update(of=("self",), skip_locked=True)
    restore = rows.select_related("project", "snapshot__project").filter(pk=restore_id).first()
    if restore is None or restore.project is None or restore.finished_at is None:
        return False
    if not _running_on(now).filter(pk=restore_id).exists():
        return False
    days = (now - restore.finished_at) // DAY
    record(
        action=ACTION,
        actor=None,
        project=restore.project,
        subject=restore.project.name,
        details={
            "restore": str(restore.pk),
            "days": days,
            "reason": f"“{seen_name(restore.project.name)}” was restored from a backup of "
            f"“{seen_name(restore.snapshot.project.name)}” {count(days, 'day')} ago "
            "and is still running.",
        },
    )
    return True
