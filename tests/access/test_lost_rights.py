"""A member who is removed after the access check, but before the save, changes nothing."""

from collections.abc import Callable

import pytest

from backups_portal.audit.models import AuditEvent
from backups_portal.notifications.notification_settings import (
    Choice,
    change_notifications,
    renew_secret,
    request_test,
)
from backups_portal.projects.access import RightLostError
from backups_portal.projects.models import Membership, Project
from backups_portal.projects.shutdown import shut_down, start_again
from snapshots.models import Snapshot
from snapshots.retention.holds import place_hold, release_hold
from snapshots.schedule.backup_settings import change_backup_settings
from tests import factories


def newest(project: Project) -> Snapshot:
    return Snapshot.objects.get(project=project)


ACTIONS: dict[str, Callable[[Project], object]] = {
    "backup settings": lambda project: change_backup_settings(
        database=project.main_database, actor=project.created_by, wanted={"retention_days": 30}
    ),
    "hold": lambda project: place_hold(snapshot=newest(project), actor=project.created_by),
    "release": lambda project: release_hold(snapshot=newest(project), actor=project.created_by),
    "notifications": lambda project: change_notifications(
        project=project,
        actor=project.created_by,
        choice=Choice(
            wanted=frozenset(), by_email=False, reminder_days=3, webhook="", heartbeat=""
        ),
    ),
    "webhook's secret": lambda project: renew_secret(project=project, actor=project.created_by),
    "test message": lambda project: request_test(project=project, actor=project.created_by),
    "shut down": lambda project: shut_down(
        project=project, actor=project.created_by, typed_name=project.name
    ),
    "start again": lambda project: start_again(project=project, actor=project.created_by),
}


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["collaborator", None])
@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_is_refused_at_its_commit(action: str, role: str | None) -> None:
    project = factories.make_project_row()
    factories.make_snapshot(project)
    found = Membership.objects.filter(project=project)
    if role:
        found.update(role=role)
    else:
        found.delete()
    with pytest.raises(RightLostError):
        ACTIONS[action](project)
    assert not AuditEvent.objects.filter(project_id=project.pk).exists()
