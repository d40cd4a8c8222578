"""What is inside a backup, and keeping it."""

import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import Project
from snapshots.models import Hold, Snapshot
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(client: Client) -> Account:
    account = factories.make_account(name="Olivia")
    client.force_login(account)
    return account


@pytest.fixture
def project(owner: Account) -> Project:
    return factories.make_project_row(owner=owner)


@pytest.fixture
def snapshot(project: Project) -> Snapshot:
    return factories.make_snapshot(
        project,
        rows=12389,
        table_rows={"variable": 12345, "device": 44, "network": 0, "made_later": 7},
    )


def url(snapshot: Snapshot, ending: str = "") -> str:
    return f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/{ending}"


def read(client: Client, snapshot: Snapshot, status: int = 200) -> str:
    response = client.get(url(snapshot))
    assert response.status_code == status
    return response.content.decode()


def test_rows_are_counted_by_kind(client: Client, snapshot: Snapshot) -> None:
    page = read(client, snapshot)
    for text in ("Variables", "12,345", "Devices", "44", "Made_later", "12,389 rows"):
        assert text in page
    assert "Networks" not in page
    assert page.index("Devices") < page.index("Variables") < page.index("Made_later")


def test_how_it_was_made(client: Client, snapshot: Snapshot) -> None:
    page = read(client, snapshot)
    for text in ("PostgreSQL 18.0", "Schema 1", "12.0\N{NO-BREAK SPACE}s"):
        assert text in page


def test_restores_of_it_are_listed(client: Client, snapshot: Snapshot, owner: Account) -> None:
    restore = factories.make_restore(snapshot, requested_by=owner, name="Rescue")
    page = read(client, snapshot)
    assert f'href="/restores/{restore.pk}/">Rescue</a>' in page


@pytest.mark.parametrize("state", ["queued", "running", "failed"])
def test_what_is_not_stored_is_neither_restored_nor_kept(
    client: Client, project: Project, state: str
) -> None:
    snapshot = factories.make_snapshot(project, state=state)
    page = read(client, snapshot)
    assert "New project from backup" not in page
    assert "/hold/" not in page
    if state == "failed":
        assert "The main database did not answer." in page


def test_what_retention_removed_is_said_to_be_gone(client: Client, project: Project) -> None:
    page = read(client, factories.make_snapshot(project, state="expired"), status=404)
    assert "This backup is gone" in page


def test_keep_and_release(client: Client, snapshot: Snapshot, owner: Account) -> None:
    response = client.post(url(snapshot, "hold/"), follow=True)
    assert response.redirect_chain == [(url(snapshot), 302)]
    page = response.content.decode()
    assert f"The backup of {snapshot.day_name} is kept until you release it." in page
    assert "Put on hold by Olivia" in page
    assert Hold.objects.get().account == owner

    response = client.post(url(snapshot, "release/"), follow=True)
    assert "is no longer on hold." in response.content.decode()
    assert not Hold.objects.exists()
    addresses = AuditEvent.objects.filter(action__startswith="snapshot.").values_list("address")
    assert list(addresses) == [("127.0.0.1",)] * 2


def test_only_a_stored_backup_is_kept(client: Client, project: Project) -> None:
    snapshot = factories.make_snapshot(project, state="failed", taken_at=timezone.now())
    response = client.post(url(snapshot, "hold/"))
    assert response.status_code == 409
    assert "Only a stored backup can be put on hold." in response.content.decode()
    assert not Hold.objects.exists()
