"""When weekly digests are due, each once a week."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from backups_portal.audit.recorder import record
from backups_portal.lib.loggers import get_logger
from backups_portal.notifications.digest_contents import digest_of, next_digest
from backups_portal.notifications.models import NotificationSettings
from backups_portal.projects.models import Project

log = get_logger(__name__)

ACTION = "notifications.digest"
AT_A_TIME = 10_000


def due_digests(now: datetime) -> list[UUID]:
    """Return the projects whose digest is due, for the caller to enqueue."""
    due = NotificationSettings.objects.filter(next_digest_at__lte=now)
    return list(due.order_by("next_digest_at").values_list("pk", flat=True)[:AT_A_TIME])


@transaction.atomic
def queue_digest(project_id: UUID, now: datetime) -> bool:
    """Record a digest that is due, from which its e-mails follow, and plan the next one.

    Both are one transaction, so that a worker that is killed leaves neither or both. One that is
    late, because nothing ran, is sent once, and the next one on its own Monday.

    Returns:
        Whether there was one; not of a project that does not run, and not twice.
    """
    rows = NotificationSettings.objects.select_for_update(of=("self",), skip_locked=True)
    due = rows.filter(pk=project_id, next_digest_at__lte=now)
    row = due.select_related("project__main_database").first()
    if row is None:
        return False
    project = row.project
    row.next_digest_at = next_digest(now, project.main_database.backup_time_zone)
    row.save(update_fields=["next_digest_at"])
    if project.state != Project.State.ACTIVE:
        return False
    details = digest_of(project, now)
    record(action=ACTION, actor=None, project=project, subject=details["period"], details=details)
    log.info("digest queued", project=project.pk)
    return True
