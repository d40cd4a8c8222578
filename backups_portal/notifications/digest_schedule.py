"""The schedule of weekly digests."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from backups_portal.audit.models import AuditEvent
from backups_portal.audit.recorder import record
from backups_portal.lib.loggers import get_logger
from backups_portal.notifications.digest_contents import digest_of, next_digest
from backups_portal.notifications.models import NotificationSettings
from backups_portal.projects.models import Project

log = get_logger(__name__)

ACTION = "notifications.digest"
AT_A_TIME = 10_000
# A week, plus an hour for clock changes and a day for the date line; only a clock that ran ahead
# can have planned a digest for later.
FARTHEST = timedelta(days=8, hours=1)


def due_digests(now: datetime) -> list[UUID]:
    """Return projects with a due or wrongly planned digest, to enqueue."""
    due = NotificationSettings.objects.filter(_due_or_too_far(now))
    return list(due.order_by("next_digest_at").values_list("pk", flat=True)[:AT_A_TIME])


@transaction.atomic
def queue_digest(project_id: UUID, now: datetime) -> bool:
    """Record a due digest, which makes its e-mails, and plan the next one.

    Both happen in one transaction, so a killed worker leaves neither or both. A late digest is sent
    once, and the next one on its Monday. One that was planned too far ahead is planned again.

    Returns:
        Whether a digest was recorded. There is none for a project that does not run, and no second
        one for a week, even if a change of time zone makes that week end again.
    """
    rows = NotificationSettings.objects.select_for_update(of=("self",), skip_locked=True)
    due = rows.filter(_due_or_too_far(now), pk=project_id)
    row = due.select_related("project__main_database").first()
    if row is None or row.next_digest_at is None:
        return False
    project, is_due = row.project, row.next_digest_at <= now
    row.next_digest_at = next_digest(now, project.main_database.backup_time_zone)
    row.save(update_fields=["next_digest_at"])
    if not is_due:
        log.warning("digest was planned too far ahead", project=project.pk)
    if not is_due or project.state != Project.State.ACTIVE:
        return False
    details = digest_of(project, now)
    if _had_digest(project.pk, details["period"], now):
        log.info("this week already had its digest", project=project.pk)
        return False
    record(action=ACTION, actor=None, project=project, subject=details["period"], details=details)
    log.info("digest queued", project=project.pk)
    return True


def _had_digest(project_id: UUID, period: str, now: datetime) -> bool:
    events = AuditEvent.objects.filter(project_id=project_id, action=ACTION, subject=period)
    return events.filter(at__gt=now - 2 * FARTHEST).exists()


def _due_or_too_far(now: datetime) -> Q:
    return Q(next_digest_at__lte=now) | Q(next_digest_at__gt=now + FARTHEST)
