"""The Main Database page."""

import logging
import re
from datetime import UTC, datetime, time, timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projectdb.provisioning import drop_database
from backups_portal.projects.database_dsn import server_url
from backups_portal.projects.models import MainDatabase, Project
from backups_portal.ui import moments
from snapshots.models import Hold, Snapshot
from tests import factories
from tests.browser.scene import live_project
from tests.pageforms import form_of
from tests.snapshots.settingspage import make_settings, read, save, settings_of, url

pytestmark = pytest.mark.django_db
# Session, account, membership with project, settings and server, newest snapshot, growth, change,
# objectives.
PAGE_QUERIES = 6
NOW = datetime(2026, 5, 5, tzinfo=UTC)


@pytest.fixture
def owner() -> Account:
    return factories.make_account()


@pytest.fixture
def project(owner: Account) -> Project:
    return make_settings(owner)


def test_settings_have_their_exact_labels(client: Client, owner: Account, project: Project) -> None:
    page = read(client, owner, project)
    labels = re.findall(r"<label[^>]*>\s*([^<]*?)\s*</label>", page)
    assert labels == [
        "Daily backup schedule",
        "Time zone",
        "Backup retention period",
        "Proof of backups",
    ]
    assert 'type="time" name="backup_time" value="03:00"' in page
    assert '<option value="Europe/Berlin">' in page


def test_next_run_is_shown_in_the_zone_and_in_utc(
    client: Client, owner: Account, project: Project
) -> None:
    page = read(client, owner, project)
    assert '6 May 2031, 03:00 <span class="zone">UTC\N{MINUS SIGN}03' in page
    assert '6 May 2031, 06:00 <span class="zone">UTC<' in page


def test_database_facts(client: Client, owner: Account, project: Project) -> None:
    assert "Counted by the first backup" in read(client, owner, project)
    factories.make_snapshot(project, rows=1234567)
    page = read(client, owner, project)
    assert "bp_0123abcd" in page
    assert "1,234,567" in page


def test_the_page_does_not_wait_for_the_size_of_the_database(
    client: Client, owner: Account, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Project] = []
    monkeypatch.setattr("snapshots.views.main_database.database_size", asked.append)
    page = read(client, owner, project)
    assert 'hx-get="?size=now" hx-trigger="load"' in page
    assert '<a href="?size=now">Measure now</a>' in page
    assert not asked


@pytest.mark.server_version
@pytest.mark.usefixtures("project_server")
@pytest.mark.parametrize("role", ["owner", "collaborator"])
def test_the_size_of_the_database_is_measured_now(client: Client, role: str) -> None:
    account = factories.make_account()
    project = live_project(factories.make_account(), "Measured")
    try:
        factories.make_membership(project, account, role)
        client.force_login(account)
        part = client.get(f"{url(project)}?size=now", headers={"HX-Request": "true"})
        whole = client.get(f"{url(project)}?size=now")
    finally:
        drop_database(server_url(project.server), prefix=project.prefix)
    size = (
        r'<span class="number">\d+\.\d\N{NO-BREAK SPACE}MiB</span>\s*<small[^>]*>now, with indexes'
    )
    assert re.search(size, part.text)
    assert "<html" not in part.text
    assert "hx-trigger" not in part.text
    # Without a script it is a page like any other.
    assert re.search(size, whole.text)
    assert "<html" in whole.text


def test_a_database_that_does_not_answer_is_said(
    client: Client, owner: Account, project: Project
) -> None:
    client.force_login(owner)
    response = client.get(f"{url(project)}?size=now", headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert "The project&#39;s database is not responding." in response.text
    assert "hx-trigger" not in response.text


def test_three_runs_are_planned_over_a_change_of_clocks(
    client: Client, owner: Account, project: Project
) -> None:
    MainDatabase.objects.update(
        backup_time_zone="Europe/Berlin",
        next_snapshot_at=datetime(2031, 10, 25, 1, tzinfo=UTC),
    )
    page = read(client, owner, project)
    for there, utc in (
        ("25 Oct 2031, 03:00", "25 Oct 2031, 01:00"),
        ("26 Oct 2031, 03:00", "26 Oct 2031, 02:00"),
        ("27 Oct 2031, 03:00", "27 Oct 2031, 02:00"),
    ):
        assert f'{there} <span class="zone">CE' in page
        assert f'{utc} <span class="zone">UTC' in page


def test_growth_is_drawn_from_the_backups(client: Client, owner: Account, project: Project) -> None:
    factories.make_snapshot(project, taken_at=NOW - timedelta(days=2), logical_bytes=2048)
    assert "chart-plot" not in read(client, owner, project)
    factories.make_snapshot(
        project, taken_at=NOW - timedelta(days=1), logical_bytes=8192, rows=4000
    )
    page = read(client, owner, project).replace("\N{NO-BREAK SPACE}", " ")
    assert "from 2.0 KiB to 8.0 KiB, at most 8.0 KiB" in page
    assert 'points="0.00,75.00 100.00,0.00"' in page
    assert "Rows: from 1,000 to 4,000, at most 4,000" in page


def test_the_last_change_is_named(client: Client, owner: Account, project: Project) -> None:
    assert "Last changed" not in read(client, owner, project)
    save(client, owner, project, retention_days="30")
    assert f"by {owner.email}: Backup retention period: 7 days → 30 days." in " ".join(
        read(client, owner, project).split()
    )


def test_collaborator_sees_the_database_and_no_backup_settings(
    client: Client, project: Project
) -> None:
    account = factories.make_account()
    factories.make_membership(project, account)
    factories.make_snapshot(project)
    page = read(client, account, project)
    assert "bp_0123abcd" in page
    for word in ("ackup schedule", "etention", "Next backup", '<form method="post" novalidate'):
        assert word not in page


def test_collaborator_cannot_save(client: Client, project: Project) -> None:
    account = factories.make_account()
    factories.make_membership(project, account)
    before = settings_of(project)
    assert save(client, account, project, retention_days="3").status_code == 403
    assert settings_of(project) == before


def test_owner_saves(client: Client, owner: Account, project: Project) -> None:
    response = save(
        client,
        owner,
        project,
        backup_time="22:15",
        backup_time_zone="Asia/Kolkata",
        retention_days="30",
    )
    assert response.url == url(project)
    assert settings_of(project) == (time(22, 15), "Asia/Kolkata", 30)
    assert AuditEvent.objects.get(action="settings.changed").address == "127.0.0.1"
    assert "Your backup settings are saved." in client.get(url(project)).content.decode()


@pytest.mark.parametrize(("hours", "is_due"), [(49, True), (1, False)])
def test_a_backup_that_a_change_makes_due_is_told(
    client: Client, owner: Account, project: Project, hours: int, is_due: bool
) -> None:
    now = timezone.now()
    factories.make_snapshot(project, taken_at=now - timedelta(hours=hours))
    later = now + timedelta(minutes=5)
    save(client, owner, project, backup_time=f"{later:%H:%M}", backup_time_zone="UTC")
    text = client.get(url(project)).content.decode()
    assert ("saved. A backup is due now and starts shortly." in text) == is_due


def test_proof_policy_is_saved_and_kept(client: Client, owner: Account, project: Project) -> None:
    save(client, owner, project, proof_policy="every")
    assert MainDatabase.objects.get().proof_policy == "every"
    save(client, owner, project)
    assert MainDatabase.objects.get().proof_policy == "every"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("retention_days", "0", "Give a whole number of days, from 1 to 365."),
        ("retention_days", "366", "Give a whole number of days, from 1 to 365."),
        ("retention_days", "soon", "“soon” is not a retention period."),
        ("retention_days", "", "Enter a number of days, from 1 to 365."),
        ("backup_time", " ", "Enter a time of day as HH:MM, from 00:00 to 23:59."),
        ("backup_time_zone", "", "Enter a time zone, such as Europe/Berlin or UTC."),
        ("backup_time_zone", "Mars/Base", "“Mars/Base” is not a time zone."),
        ("backup_time_zone", "x" * 65, "at most 64 characters"),
        ("proof_policy", "sometimes", "That is not one of the choices. Choose one from the list."),
        ("backup_time", "25:00", "“25:00” is not a time of day."),
        ("backup_time", "\0", "Remove the NUL character."),
    ],
)
def test_bad_input_is_explained_at_its_field(
    client: Client,
    owner: Account,
    project: Project,
    caplog: pytest.LogCaptureFixture,
    field: str,
    value: str,
    message: str,
) -> None:
    before = settings_of(project)
    with caplog.at_level(logging.WARNING):
        response = save(client, owner, project, **{"retention_days": "9", field: value})
    assert response.status_code == 400
    errors = re.findall(rf'id="id_{field}_error">(.*?)</div>', response.content.decode(), re.DOTALL)
    assert len(errors) == 1
    assert message in errors[0]
    assert settings_of(project) == before
    assert "main-database" in caplog.text


def test_input_is_shown_as_text(client: Client, owner: Account, project: Project) -> None:
    page = save(client, owner, project, backup_time_zone="<b>x</b>").content.decode()
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>x" not in page


def test_project_that_is_shut_down_has_no_next_run(
    client: Client, owner: Account, project: Project
) -> None:
    MainDatabase.objects.update(next_snapshot_at=None)
    Project.objects.update(state=Project.State.SHUT_DOWN)
    assert "the project is shut down" in read(client, owner, project)


@pytest.mark.parametrize("snapshots", [1, 100])
def test_page_asks_as_often_with_many_snapshots(
    client: Client,
    owner: Account,
    project: Project,
    django_assert_num_queries: DjangoAssertNumQueries,
    snapshots: int,
) -> None:
    for days in range(snapshots):
        factories.make_snapshot(project, taken_at=timezone.now() - timedelta(days=days))
    client.force_login(owner)
    # A session created without the sign-in page records its browser once.
    client.get("/account/")
    with django_assert_num_queries(PAGE_QUERIES):
        client.get(url(project))


class TestShorterRetention:
    @pytest.fixture(autouse=True)
    def _backups(self, project: Project) -> None:
        MainDatabase.objects.update(retention_days=30)
        now = timezone.now()
        for days in (1, 3, 9, 10, 12):
            moment = now - timedelta(days=days)
            factories.make_snapshot(project, taken_at=moment, local_date=moment.date())

    def test_what_it_deletes_is_shown_before_anything_is_saved(
        self, client: Client, owner: Account, project: Project
    ) -> None:
        oldest = timezone.now() - timedelta(days=12)
        response = save(client, owner, project, retention_days="7")
        page = " ".join(response.content.decode().split())
        assert "This will delete <strong>3 backups</strong>" in page
        assert f"the oldest from <strong>{moments.day(oldest)}</strong>" in page
        assert settings_of(project)[2] == 30
        assert not AuditEvent.objects.filter(action="settings.changed").exists()

    def test_agreeing_saves_all_that_was_changed(
        self, client: Client, owner: Account, project: Project
    ) -> None:
        asked = save(client, owner, project, retention_days="7", backup_time="04:30")
        fields = dict(
            re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', asked.content.decode())
        )
        fields.pop("csrfmiddlewaretoken", None)
        assert client.post(url(project), fields).url == url(project)
        assert settings_of(project) == (time(4, 30), "America/Sao_Paulo", 7)

    def test_keeping_the_period_saves_what_else_was_changed(
        self, client: Client, owner: Account, project: Project
    ) -> None:
        asked = save(client, owner, project, retention_days="7", backup_time="04:30").text
        assert "Keep 30 days, save the rest" in " ".join(asked.split())
        answer = client.post(url(project), {**form_of(asked, url(project)), "keep": "period"})
        assert answer.url == url(project)
        assert settings_of(project) == (time(4, 30), "America/Sao_Paulo", 30)

    def test_keeping_the_period_leads_back_where_nothing_else_was_changed(
        self, client: Client, owner: Account, project: Project
    ) -> None:
        page = " ".join(save(client, owner, project, retention_days="7").text.split())
        assert f'<a class="btn" href="{url(project)}">Keep 30 days</a>' in page
        assert f'<a href="/projects/{project.slug}/backups/">Backups page</a>' in page

    def test_a_late_agreement_is_asked_again_when_more_would_go(
        self, client: Client, owner: Account, project: Project
    ) -> None:
        response = save(client, owner, project, retention_days="7", agree="7:2")
        assert "This will delete" in response.content.decode()
        response = save(client, owner, project, retention_days="2", agree="7:3")
        assert "This will delete" in response.content.decode()
        assert settings_of(project)[2] == 30

    def test_backups_that_stay_are_not_counted(
        self, client: Client, owner: Account, project: Project
    ) -> None:
        snapshot = Snapshot.objects.order_by("taken_at").first()
        Hold.objects.create(snapshot=snapshot, account=owner)
        page = " ".join(save(client, owner, project, retention_days="7").content.decode().split())
        assert "This will delete <strong>2 backups</strong>" in page
        assert "1 backup: on hold" in page

    def test_a_longer_period_and_one_that_deletes_nothing_are_saved_at_once(
        self, client: Client, owner: Account, project: Project
    ) -> None:
        for days in (40, 13):
            assert save(client, owner, project, retention_days=str(days)).status_code == 302
            assert settings_of(project)[2] == days
