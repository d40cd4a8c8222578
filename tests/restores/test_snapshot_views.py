"""A snapshot's content, its restores, and holding it."""

import re
from datetime import date

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
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


def read(client: Client, snapshot: Snapshot, status: int = 200, ending: str = "") -> str:
    response = client.get(url(snapshot, ending))
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


def test_a_backup_that_was_never_stored_shows_no_empty_facts(
    client: Client, snapshot: Snapshot
) -> None:
    failed = factories.make_snapshot(
        snapshot.project, state="failed", local_date=date(2026, 1, 1), reason="No answer."
    )
    page = read(client, failed)
    assert "No answer." in page
    assert "Scheduled for" in page
    for text in ("At a glance", "Data as of", "Kept until", "Versions", 'class="tabs"', "—"):
        assert text not in page, text


def test_restores_of_it_are_listed(client: Client, snapshot: Snapshot, owner: Account) -> None:
    assert "No project has been made" in read(client, snapshot, ending="restores/")
    restore = factories.make_restore(snapshot, requested_by=owner, name="Rescue")
    page = read(client, snapshot, ending="restores/")
    assert f'href="/restores/{restore.pk}/">Rescue</a>' in page


TABS = ("", "devices/", "resources/", "left-out/", "restores/")


def test_tabs_ask_as_often_for_a_hundred_restores_as_for_one(
    client: Client, snapshot: Snapshot, owner: Account
) -> None:
    counts = []
    for restores in (1, 99):
        for _ in range(restores):
            factories.make_restore(snapshot, requested_by=owner, state="failed", reason="None.")
        read(client, snapshot)
        with CaptureQueriesContext(connection) as queries:
            pages = [read(client, snapshot, ending=tab) for tab in TABS]
        counts.append(len(queries))
    assert counts[0] == counts[1]
    listed = ["of <strong>100</strong> restores" in page for page in pages]
    assert listed == [tab == "restores/" for tab in TABS]


@pytest.mark.parametrize("tab", TABS)
def test_a_restore_and_every_tab_are_offered_on_each_tab(
    client: Client, snapshot: Snapshot, tab: str
) -> None:
    page = read(client, snapshot, ending=tab)
    assert page.index(url(snapshot, "restore/")) < page.index(url(snapshot, "compare/"))
    assert re.findall(r'<a href="([^"]*)"( aria-current="page")?>', page)[-len(TABS) :] == [
        (url(snapshot, one), ' aria-current="page"' if one == tab else "") for one in TABS
    ]


@pytest.mark.parametrize("state", ["queued", "running", "failed"])
def test_what_is_not_stored_is_neither_restored_nor_kept(
    client: Client, project: Project, state: str
) -> None:
    snapshot = factories.make_snapshot(project, state=state)
    page = read(client, snapshot)
    assert "/restore/" not in page
    assert "/hold/" not in page
    for tab in ("devices/", "left-out/"):
        assert "This backup is not stored" in read(client, snapshot, ending=tab)
    if state == "failed":
        assert "The main database did not answer." in page


def test_what_retention_removed_is_said_to_be_gone(client: Client, project: Project) -> None:
    page = read(client, factories.make_snapshot(project, state="expired"), status=404)
    assert "This backup is gone" in page


def test_keep_and_release(client: Client, snapshot: Snapshot, owner: Account) -> None:
    response = client.post(url(snapshot, "hold/"), follow=True)
    assert response.redirect_chain == [(url(snapshot), 302)]
    page = response.content.decode()
    assert f"The backup of {snapshot.day_name} is on hold until you release it." in page
    assert "Held by Olivia" in page
    assert Hold.objects.get().account == owner

    response = client.post(url(snapshot, "release/"), follow=True)
    assert "is released." in response.content.decode()
    assert not Hold.objects.exists()
    addresses = AuditEvent.objects.filter(action__startswith="snapshot.").values_list("address")
    assert list(addresses) == [("127.0.0.1",)] * 2


def test_only_a_stored_backup_is_kept(client: Client, project: Project) -> None:
    snapshot = factories.make_snapshot(project, state="failed", taken_at=timezone.now())
    response = client.post(url(snapshot, "hold/"))
    assert response.status_code == 409
    assert "Only a stored backup can be held." in response.content.decode()
    assert not Hold.objects.exists()
