"""The Backups page is readable whatever it contains, and shows nothing else."""

import re
from datetime import UTC, date, datetime

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from backups_portal.accounts.models import Account
from backups_portal.projects.models import MainDatabase, Project
from backups_portal.ui import moments
from snapshots.models import Hold, Snapshot
from tests import factories
from tests.restores import backups_page
from tests.restores.backups_page import DAY, PAGE_QUERIES, line, plan, read, words

pytestmark = pytest.mark.django_db
EMPTY = "Backup snapshots will appear here once they are created."


@pytest.fixture
def owner() -> Account:
    return factories.make_account()


@pytest.fixture
def project(client: Client, owner: Account) -> Project:
    return backups_page.owned_project(client, owner)


def test_empty_page_says_exactly_what_comes_and_when(client: Client, project: Project) -> None:
    plan(datetime(2031, 5, 6, 3, tzinfo=UTC))
    page = read(client, project)
    assert EMPTY in page
    assert "The first one will be taken 6 May 2031, 03:00 UTC" in words(page)


def test_empty_page_of_a_project_that_is_shut_down(client: Client, project: Project) -> None:
    plan(None)
    Project.objects.update(state=Project.State.SHUT_DOWN)
    page = read(client, project)
    assert EMPTY in page
    assert "The project is shut down, so no backup is planned." in words(page)


def test_what_is_excluded_is_said(client: Client, project: Project) -> None:
    page = read(client, project)
    assert "The following data is not included in backups:" in page
    assert "Analysis: Analysis console logs and code." in page
    assert "Files: uploaded files and file attachments." in page


def test_columns(client: Client, project: Project) -> None:
    factories.make_snapshot(project)
    headers = re.findall(r'<th[^>]*scope="col"[^>]*>(.*?)</th>', read(client, project), re.DOTALL)
    expected = ["Backup date", "Backup size", "Status", "Kept until", "Actions"]
    assert [words(header) for header in headers] == expected


def test_a_stored_backup(client: Client, project: Project) -> None:
    taken_at = timezone.now().replace(microsecond=0) - 2 * DAY
    snapshot = factories.make_snapshot(project, taken_at=taken_at, rows=12345)
    factories.make_snapshot(project, taken_at=taken_at + DAY)
    text = words(line(read(client, project), snapshot))
    kept_until = taken_at + 7 * DAY
    assert f"{moments.day(taken_at)}, {taken_at:%H:%M}" in text
    assert f"{moments.day(kept_until)}, {kept_until:%H:%M}" in text
    assert "12,345 rows" in text
    assert "Stored" in text


@pytest.mark.parametrize(("held", "last"), [(False, "Hold"), (True, "Release")])
def test_menu_of_a_stored_backup(
    client: Client, project: Project, owner: Account, held: bool, last: str
) -> None:
    snapshot = factories.make_snapshot(project)
    if held:
        Hold.objects.create(snapshot=snapshot, account=owner)
    text = line(read(client, project), snapshot)
    base = f"/projects/{project.slug}/backups/{snapshot.pk}/"
    (panel,) = re.findall(r'<div class="menu-panel">(.*?)</div>', text, re.DOTALL)
    entries = re.findall(r"<(?:a|button) class=.menu-item.[^>]*>(.*?)</(?:a|button)>", panel)
    assert [words(entry) for entry in entries] == [
        "New project from backup",
        "What is inside",
        "Compare",
        "Download",
        last,
    ]
    assert re.findall(r'href="([^"]*)"', panel) == [
        f"{base}restore/",
        base,
        f"{base}compare/",
        f"{base}download/",
    ]
    assert f'action="{base}{"release" if held else "hold"}/"' in panel


def test_a_backup_has_one_name_whoever_looks(client: Client, project: Project) -> None:
    MainDatabase.objects.update(backup_time_zone="Europe/Berlin")
    snapshot = factories.make_snapshot(
        project, taken_at=datetime(2024, 11, 23, 2, tzinfo=UTC), local_date=date(2024, 11, 23)
    )
    client.cookies["zone"] = "America/Los_Angeles"
    text = words(line(read(client, project), snapshot))
    # Its name is its day in Berlin; the time is on the visitor's clock.
    assert text.startswith("22 Nov 2024, 18:00 PST")
    assert "· backup of 23 Nov 2024" in text
    client.cookies["zone"] = "Europe/Berlin"
    assert "· backup of" not in words(line(read(client, project), snapshot))
    page = client.get(f"/projects/{project.slug}/backups/{snapshot.pk}/").text
    assert '<h1 class="page-heading">Backup of 23 Nov 2024</h1>' in page
    assert "Named by its day in Europe/Berlin" in page
    assert '23 Nov 2024, 02:00 <span class="zone">UTC</span></time></small>' in page


class TestKeep:
    """Keeping a backup from the list leads back to the list."""

    def keep(self, client: Client, snapshot: Snapshot, **form: str) -> str:
        url = f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/"
        answer = client.post(f"{url}hold/", form)
        assert answer.url == client.post(f"{url}release/", form).url
        return answer.url

    def test_it_leads_back_to_the_line(self, client: Client, project: Project) -> None:
        for days in range(20):
            snapshot = factories.make_snapshot(project, taken_at=timezone.now() - days * DAY)
        text = line(read(client, project, "?page=2"), snapshot)
        (back,) = re.findall(r'name="next" value="([^"]*)"', text)
        assert back == f"/projects/{project.slug}/backups/?page=2"
        assert self.keep(client, snapshot, next=back) == f"{back}#backup-{snapshot.pk}"

    @pytest.mark.parametrize(
        "asked", ["", "//elsewhere.example/", "https://x.example", "javascript:1"]
    )
    def test_it_leads_nowhere_else(self, client: Client, project: Project, asked: str) -> None:
        snapshot = factories.make_snapshot(project)
        page = f"/projects/{project.slug}/backups/{snapshot.pk}/"
        assert self.keep(client, snapshot, next=asked) == page


def test_each_stored_backup_can_be_restored_from_its_line(client: Client, project: Project) -> None:
    snapshot = factories.make_snapshot(project)
    text = line(read(client, project), snapshot)
    (button,) = re.findall(r'<a class="btn btn-restore".*?</a>', text, re.DOTALL)
    assert words(button) == "Restore"
    assert f'href="/projects/{project.slug}/backups/{snapshot.pk}/restore/"' in button
    assert f'aria-label="Restore the backup of {snapshot.day_name}"' in button


@pytest.mark.parametrize(
    ("state", "shown"), [("queued", "Queued"), ("running", "Running"), ("failed", "Failed")]
)
def test_a_backup_that_is_not_stored_cannot_be_restored(
    client: Client, project: Project, state: str, shown: str
) -> None:
    snapshot = factories.make_snapshot(project, state=state)
    text = line(read(client, project), snapshot)
    assert shown in words(text)
    assert "New project from backup" not in text
    assert "btn-restore" not in text


def test_a_failed_backup_says_why(client: Client, project: Project) -> None:
    snapshot = factories.make_snapshot(project, state="failed", reason="The disk <is> full.")
    assert "The disk &lt;is&gt; full." in line(read(client, project), snapshot)


def test_a_proven_backup(client: Client, project: Project) -> None:
    snapshot = factories.make_snapshot(
        project, verdict="passed", proven_at=timezone.now(), restore_seconds=8.0
    )
    assert "Proven Restores in 8.0 s" in words(line(read(client, project), snapshot))


def test_a_backup_that_failed_its_proof_is_loudly_marked(client: Client, project: Project) -> None:
    snapshot = factories.make_snapshot(
        project,
        verdict="failed",
        proven_at=timezone.now(),
        verdict_reason="42 rows differ.",
        # From an earlier proof, which passed.
        restore_seconds=8.0,
    )
    page = read(client, project)
    assert "A backup failed its proof" in page
    text = line(page, snapshot)
    assert "Failed its proof 42 rows differ." in words(text)
    assert "New project from backup" not in text
    assert "btn-restore" not in text
    assert "None yet" in page
    summary = client.get(f"/projects/{project.slug}/backups/{snapshot.pk}/").content.decode()
    assert "This backup failed its proof" in summary
    assert "restores in" not in summary.lower()


def test_what_retention_removed_is_not_listed(client: Client, project: Project) -> None:
    factories.make_snapshot(project, state="expired")
    assert EMPTY in read(client, project)


def test_there_is_no_way_to_take_a_backup(client: Client, project: Project) -> None:
    snapshot = factories.make_snapshot(project)
    page = read(client, project)
    base = f"/projects/{project.slug}/backups/{snapshot.pk}/"
    actions = set(re.findall(r'<form[^>]*action="([^"]*)"', page))
    assert actions == {"/sign-out/", f"{base}hold/"}


class TestKeptUntil:
    """Why a backup stays longer than its period."""

    def test_on_hold(self, client: Client, project: Project, owner: Account) -> None:
        snapshot = factories.make_snapshot(project)
        Hold.objects.create(snapshot=snapshot, account=owner)
        text = line(read(client, project), snapshot)
        assert "On hold Until you release it" in words(text)
        assert f"{snapshot.pk}/release/" in text

    def test_newest(self, client: Client, project: Project) -> None:
        snapshot = factories.make_snapshot(project, taken_at=timezone.now() - 20 * DAY)
        assert "Until a newer one is stored" in line(read(client, project), snapshot)

    def test_newest_of_another_page(self, client: Client, project: Project) -> None:
        for days in range(25):
            factories.make_snapshot(project, taken_at=timezone.now() - days * DAY)
        snapshot = factories.make_snapshot(project, taken_at=timezone.now() - 30 * DAY)
        assert "Being removed" in line(read(client, project, "?page=2"), snapshot)

    def test_being_restored(self, client: Client, project: Project, owner: Account) -> None:
        factories.make_snapshot(project)
        snapshot = factories.make_snapshot(project, taken_at=timezone.now() - 20 * DAY)
        restore = factories.make_restore(snapshot, requested_by=owner, name="Rescue")
        text = line(read(client, project), snapshot)
        assert "While it is being restored" in text
        assert f'<a href="/restores/{restore.pk}/">Rescue</a>' in text


@pytest.mark.parametrize("number", [1, 100])
def test_page_asks_as_often_for_one_as_for_many(
    client: Client,
    owner: Account,
    project: Project,
    django_assert_num_queries: DjangoAssertNumQueries,
    number: int,
) -> None:
    for days in range(number):
        snapshot = factories.make_snapshot(project, taken_at=timezone.now() - days * DAY)
        Hold.objects.create(snapshot=snapshot, account=owner)
        factories.make_restore(snapshot, requested_by=owner)
    # A session created without the sign-in page records its browser once.
    client.get("/account/")
    with django_assert_num_queries(PAGE_QUERIES):
        read(client, project)


def test_proof_is_told_from_storage_by_the_colours_of_the_strip(
    client: Client, project: Project
) -> None:
    stored = factories.make_snapshot(project, taken_at=timezone.now() - DAY)
    proven = factories.make_snapshot(
        project, taken_at=timezone.now() - 2 * DAY, verdict="passed", proven_at=timezone.now()
    )
    page = read(client, project)
    assert '<span class="state state-kept">Stored</span>' in line(page, stored)
    assert '<span class="state state-good">Proven</span>' in line(page, proven)
