"""Messages say what happened, and what an owner can do about it."""

from datetime import UTC, datetime

import pytest

from backups_portal.audit.models import AuditEvent
from backups_portal.audit.recorder import record
from backups_portal.notifications.messages import compose
from backups_portal.projects.models import MainDatabase, Project
from tests import factories

pytestmark = pytest.mark.django_db
REASON = "The main database did not answer."


def text_of(project: Project, action: str, **details: object) -> str:
    record(action=action, actor=None, project=project, subject="Backup of 2026-11-30",
           details={"reason": REASON, **details})  # fmt: skip
    data = compose(AuditEvent.objects.get(action=action), project)["data"]
    assert isinstance(data, dict)
    return str(data["text"])


def plan(project: Project, run: datetime | None) -> Project:
    MainDatabase.objects.filter(pk=project.pk).update(next_snapshot_at=run)
    return Project.objects.get(pk=project.pk)


def test_a_failed_backup_says_when_the_next_one_is_due_and_whom_to_tell(project: Project) -> None:
    project = plan(project, datetime(2026, 12, 1, 2, tzinfo=UTC))
    text = text_of(project, "snapshot.failed")
    assert text == (
        f"Backup of 30 Nov 2026 failed. {REASON} The next backup is due on 1 Dec 2026, 02:00 UTC. "
        "If it fails, too, tell your operator. Stored backups can be restored all the same."
    )


def test_the_failed_backup_of_a_project_that_is_shut_down_promises_no_next_one(
    project: Project,
) -> None:
    text = text_of(plan(project, None), "snapshot.failed")
    assert text == f"Backup of 30 Nov 2026 failed. {REASON}"


def test_a_failed_restore_promises_no_retry_that_its_page_may_refuse(project: Project) -> None:
    restore = factories.make_restore(
        factories.make_snapshot(project), requested_by=project.created_by
    )
    text = text_of(project, "restore.failed", restore=str(restore.pk))
    assert text.endswith(f"{REASON} Nothing was charged. The restore's page says what you can do.")
