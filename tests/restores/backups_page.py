"""The Backups page as its tests read it."""

import re
from datetime import datetime, timedelta

from django.test import Client
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.projects.models import MainDatabase, Project
from snapshots.models import Snapshot
from tests import factories

DAY = timedelta(days=1)
# Session, account, membership; count; page; days.
PAGE_QUERIES = 6


def owned_project(client: Client, owner: Account) -> Project:
    """Make a project whose next run is far away; sign its owner in."""
    client.force_login(owner)
    project = factories.make_project_row(owner=owner)
    plan(timezone.now() + 9 * DAY)
    return project


def plan(moment: datetime | None) -> None:
    MainDatabase.objects.update(next_snapshot_at=moment)


def read(client: Client, project: Project, query: str = "", **headers: str) -> str:
    response = client.get(f"/projects/{project.slug}/backups/{query}", headers=headers)
    assert response.status_code == 200
    return response.content.decode()


def refresh(client: Client, project: Project, query: str = "") -> str:
    return read(client, project, query, HX_Request="true")


def line(page: str, snapshot: Snapshot) -> str:
    """Return the text of a snapshot's line in the list."""
    (found,) = re.findall(rf'<tr id="backup-{snapshot.pk}"[^>]*>(.*?)</tr>', page, re.DOTALL)
    return found


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).replace("\N{NO-BREAK SPACE}", " ").split())
