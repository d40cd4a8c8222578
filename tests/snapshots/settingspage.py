"""The settings on the Main Database page, as its tests fill them in."""

from datetime import UTC, datetime, time

from django.http import HttpResponse
from django.test import Client

from backups_portal.accounts.models import Account
from backups_portal.projects.models import MainDatabase, Project
from tests import factories


def make_settings(owner: Account) -> Project:
    """Make a project whose backups are due at 03:00 in São Paulo, next in 2031."""
    project = factories.make_project_row(owner=owner, database="bp_0123abcd")
    MainDatabase.objects.update(
        backup_time_zone="America/Sao_Paulo",
        next_snapshot_at=datetime(2031, 5, 6, 6, tzinfo=UTC),
    )
    return project


def url(project: Project) -> str:
    return f"/projects/{project.slug}/main-database/"


def read(client: Client, account: Account, project: Project) -> str:
    client.force_login(account)
    return client.get(url(project)).content.decode()


def save(client: Client, account: Account, project: Project, **changes: str) -> HttpResponse:
    client.force_login(account)
    values = {"backup_time": "03:00", "backup_time_zone": "America/Sao_Paulo"}
    return client.post(url(project), {**values, "retention_days": "7", **changes})


def settings_of(project: Project) -> tuple[time, str, int]:
    row = MainDatabase.objects.get(pk=project.pk)
    return row.backup_time, row.backup_time_zone, row.retention_days
