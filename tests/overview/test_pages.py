"""The list of projects and a project's page."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from backups_portal.accounts.models import Account
from backups_portal.audit.audit_log import in_words
from backups_portal.audit.recorder import record
from backups_portal.billing.models import Charge
from backups_portal.billing.statement import parts_of
from backups_portal.overview.views import LATEST_EVENTS
from backups_portal.projects.models import MainDatabase, Project
from restores.backups_views import WHILE_AWAITED, WHILE_QUIET
from tests import factories

pytestmark = pytest.mark.django_db
# The session, the account, the count, the page, restores, and invitations.
LIST_QUERIES = 6
# The session, the account, the membership, the overview, the charges, and restores; events, the
# newest backup, the latest ones, the retained days, and objectives.
PROJECT_QUERIES = 11


@pytest.fixture
def owner() -> Account:
    return factories.make_account()


def read(client: Client, account: Account, url: str) -> str:
    client.force_login(account)
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def test_empty_list_says_what_will_be_there(client: Client, owner: Account) -> None:
    assert "No projects yet" in read(client, owner, "/")


@pytest.mark.parametrize(
    ("path", "part"), [("/", "projects"), ("/projects/left-open/", "overview")]
)
def test_a_page_that_is_left_open_stays_true(
    client: Client, owner: Account, path: str, part: str
) -> None:
    project = factories.make_project_row(owner=owner, slug="left-open")
    snapshot = factories.make_snapshot(project)
    for seconds in (WHILE_QUIET, WHILE_AWAITED):
        (live,) = re.findall(rf'<div id="{part}"[^>]*>', read(client, owner, path))
        for attribute in (
            f'hx-get="{path}"',
            f'hx-trigger="every {seconds}s"',
            f'hx-select="#{part}"',
        ):
            assert attribute in live
        # Its progress is shown, too.
        factories.make_restore(snapshot, requested_by=owner)


def test_list_shows_own_projects_only(client: Client, owner: Account) -> None:
    factories.make_project_row(owner=owner, name="Cold chain")
    factories.make_project_row(name="Somebody else's")
    page = read(client, owner, "/")
    assert "Cold chain" in page
    assert "Somebody else" not in page


def test_list_shows_the_newest_stored_backup(client: Client, owner: Account) -> None:
    project = factories.make_project_row(owner=owner)
    now = timezone.now()
    factories.make_snapshot(project, taken_at=now - timedelta(days=3))
    factories.make_snapshot(project, taken_at=now - timedelta(days=2))
    factories.make_snapshot(project, taken_at=now - timedelta(days=1), state="failed")
    assert "2\N{NO-BREAK SPACE}days ago" in read(client, owner, "/")


def test_collaborator_sees_no_backups_anywhere(client: Client, owner: Account) -> None:
    project, account = factories.make_project_row(owner=owner), factories.make_account()
    factories.make_membership(project, account)
    factories.make_snapshot(project)
    assert "Last backup" not in read(client, account, "/")
    page = read(client, account, f"/projects/{project.slug}/")
    assert "Main Database" in page
    for word in ("Backups<", "Latest backups", "Restore", "Charges", "Running cost", "Activity"):
        assert word not in page


def test_no_first_backup_is_promised_of_a_project_that_is_shut_down(
    client: Client, owner: Account
) -> None:
    project = factories.make_project_row(owner=owner)
    url = f"/projects/{project.slug}/"
    MainDatabase.objects.update(next_snapshot_at=timezone.now())
    assert "The first one will be taken" in read(client, owner, url)
    MainDatabase.objects.update(next_snapshot_at=None)
    project.state = Project.State.SHUT_DOWN
    project.save(update_fields=["state"])
    page = read(client, owner, url)
    assert "The first one will be taken" not in page
    assert "The project is shut down, so no backup is planned." in page


def test_owner_navigates_from_a_project(client: Client, owner: Account) -> None:
    project = factories.make_project_row(owner=owner)
    page = read(client, owner, f"/projects/{project.slug}/")
    assert "TagoIO &amp; API" in page
    for part in ("main-database", "backups", "charges"):
        assert f'href="/projects/{project.slug}/{part}/"' in page


class TestOverview:
    """The owner finds the essentials without opening another page."""

    def test_the_last_three_backups_can_be_restored(self, client: Client, owner: Account) -> None:
        project = factories.make_project_row(owner=owner)
        now = timezone.now()
        made = [
            factories.make_snapshot(project, taken_at=now - timedelta(days=days))
            for days in range(4)
        ]
        page = read(client, owner, f"/projects/{project.slug}/")
        buttons = re.findall(r'class="btn btn-restore"\s+href="([^"]*)"', page)
        base = f"/projects/{project.slug}/backups/"
        assert buttons == [f"{base}{snapshot.pk}/restore/" for snapshot in made[:3]]
        assert f'href="{base}">All backups</a>' in page

    def test_what_needs_attention_is_named(self, client: Client, owner: Account) -> None:
        project = factories.make_project_row(
            owner=owner, created_at=timezone.now() - timedelta(days=9)
        )
        now = timezone.now()
        factories.make_snapshot(project, taken_at=now - timedelta(days=3))
        factories.make_snapshot(project, taken_at=now - timedelta(days=2), state="failed")
        wrong = factories.make_snapshot(
            project,
            taken_at=now - timedelta(days=1),
            verdict="failed",
            verdict_reason="3 rows differ.",
            proven_at=now,
        )
        small = factories.make_snapshot(project, taken_at=now, size_note="A tenth of yesterday's.")
        page = read(client, owner, f"/projects/{project.slug}/")
        text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
        assert f"The backup of {wrong.day_name} failed its proof 3 rows differ." in text
        assert f"The backup of {small.day_name} is unusually small A tenth of" in text
        # One more before the day's run, until which the oldest backup is kept.
        assert re.search(r"\d of the last [78] days have no good backup", text)

    def test_a_quiet_project_needs_none(self, client: Client, owner: Account) -> None:
        project = factories.make_project_row(owner=owner)
        factories.make_snapshot(project)
        page = read(client, owner, f"/projects/{project.slug}/")
        assert "Needs attention" not in page
        assert "no good backup" not in page

    def test_activity_and_cost_are_there(self, client: Client, owner: Account) -> None:
        project = factories.make_project_row(owner=owner)
        record(action="snapshot.held", actor=owner, project=project, subject="Backup of May")
        Charge.objects.create(
            project_id=project.pk,
            project_name=project.name,
            kind="running",
            unit_price="0.068",
            currency="USD",
            starts_at=timezone.now() - timedelta(hours=1),
        )
        page = read(client, owner, f"/projects/{project.slug}/").replace("\N{NO-BREAK SPACE}", " ")
        text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
        assert f"Recent activity All activity {in_words('snapshot.held')} Backup of May" in text
        assert f"· {owner.email}" in text
        assert "Now 0.068 USD an hour" in text
        assert "A full month of running 49.64 USD" in text

    def test_refusals_do_not_push_out_activity(self, client: Client, owner: Account) -> None:
        project = factories.make_project_row(owner=owner)
        record(action="snapshot.held", actor=owner, project=project, subject="Backup of May")
        for action in ("access.refused", "token.refused"):
            for number in range(LATEST_EVENTS):
                record(action=action, actor=None, project=project, subject=f"GET /{number}/")
        page = read(client, owner, f"/projects/{project.slug}/")
        assert in_words("snapshot.held") in page
        assert in_words("access.refused") not in page
        assert in_words("token.refused") not in page
        assert in_words("access.refused") in read(
            client, owner, f"/projects/{project.slug}/activity/"
        )


def test_restored_project_names_its_origin(client: Client, owner: Account) -> None:
    source = factories.make_project_row(owner=owner, name="Fleet")
    restored = factories.make_project_row(owner=owner, name="Fleet again")
    snapshot = factories.make_snapshot(source)
    factories.make_restore(snapshot, requested_by=owner, project=restored)
    assert "restored from Fleet" in read(client, owner, "/")
    page = read(client, owner, f"/projects/{restored.slug}/")
    assert "Restored from the backup of Fleet" in page


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"step": "loading", "rows_done": 43, "rows_total": 100}, "Restoring into Rescue, 43%"),
        ({"step": "proving", "rows_done": 9, "rows_total": 100}, "its backup: Rescue, 9%"),
        ({"step": "indexing", "rows_done": 9, "rows_total": 100}, "Restoring into Rescue …"),
        ({"state": "queued"}, "Restoring into Rescue …"),
    ],
)
def test_a_restore_under_way_is_shown_where_its_project_is(
    client: Client, owner: Account, fields: dict[str, Any], said: str
) -> None:
    project = factories.make_project_row(owner=owner)
    snapshot = factories.make_snapshot(project)
    fields = {"state": "running", "name": "Rescue", **fields}
    restore = factories.make_restore(snapshot, requested_by=owner, **fields)
    for url in ("/", f"/projects/{project.slug}/"):
        page = read(client, owner, url)
        assert said in page
        assert f'href="/restores/{restore.pk}/"' in page
    account = factories.make_account()
    factories.make_membership(project, account)
    for url in ("/", f"/projects/{project.slug}/"):
        assert "Rescue" not in read(client, account, url)


def test_a_restore_that_has_ended_is_not_shown(client: Client, owner: Account) -> None:
    project = factories.make_project_row(owner=owner)
    snapshot = factories.make_snapshot(project)
    for state in ("failed", "completed"):
        factories.make_restore(
            snapshot, requested_by=owner, state=state, reason="It broke.", name="Rescue"
        )
    for url in ("/", f"/projects/{project.slug}/"):
        assert "Rescue" not in read(client, owner, url)


def test_name_is_shown_as_text(client: Client, owner: Account) -> None:
    project = factories.make_project_row(owner=owner, name="<b>bold</b>")
    for url in ("/", f"/projects/{project.slug}/"):
        page = read(client, owner, url)
        assert "&lt;b&gt;bold" in page
        assert "<b>bold" not in page


@pytest.mark.parametrize("projects", [1, 24])
def test_list_asks_as_often_for_one_as_for_many(
    client: Client,
    owner: Account,
    django_assert_num_queries: DjangoAssertNumQueries,
    projects: int,
) -> None:
    for _ in range(projects):
        factories.make_snapshot(factories.make_project_row(owner=owner))
    client.force_login(owner)
    # A session created without the sign-in page records its browser once.
    client.get("/account/")
    with django_assert_num_queries(LIST_QUERIES):
        client.get("/")


@pytest.mark.parametrize("snapshots", [1, 100])
def test_project_page_asks_as_often_with_many_snapshots(
    client: Client,
    owner: Account,
    django_assert_num_queries: DjangoAssertNumQueries,
    snapshots: int,
) -> None:
    project = factories.make_project_row(owner=owner)
    for day in range(snapshots):
        factories.make_snapshot(project, taken_at=timezone.now() - timedelta(days=day))
    client.force_login(owner)
    # A session created without the sign-in page records its browser once.
    client.get("/account/")
    with django_assert_num_queries(PROJECT_QUERIES):
        client.get(f"/projects/{project.slug}/")


def test_long_list_is_paged(client: Client, owner: Account) -> None:
    for _ in range(25):
        factories.make_project_row(owner=owner)
    assert "Page 1 of 3" in read(client, owner, "/")
    client.force_login(owner)
    assert "Page 3 of 3" in read(client, owner, "/?page=99")
    assert "Page 1 of 3" in read(client, owner, "/?page=last")


def test_a_collaborator_who_is_refused_finds_the_way_back(client: Client, owner: Account) -> None:
    project, account = factories.make_project_row(owner=owner), factories.make_account()
    factories.make_membership(project, account)
    client.force_login(account)
    response = client.get(f"/projects/{project.slug}/backups/")
    assert response.status_code == 403
    page = response.content.decode()
    assert "Collaborators cannot access backup features." in page
    assert f'href="/projects/{project.slug}/">Back to {project.name}</a>' in page
    client.force_login(factories.make_account())
    response = client.get(f"/projects/{project.slug}/backups/")
    assert response.status_code == 404
    assert project.name not in response.content.decode()


def test_the_time_up_and_the_price_are_those_of_the_running_charge(
    client: Client, owner: Account
) -> None:
    now = timezone.now()
    source = factories.make_project_row(owner=owner, name="Fleet")
    project = factories.make_project_row(owner=owner, created_at=now - timedelta(days=40))
    factories.make_restore(
        factories.make_snapshot(source), requested_by=owner, project=project, state="completed"
    )
    fields = {"project_id": project.pk, "project_name": project.name, "kind": "running"}
    Charge.objects.create(
        **fields,
        unit_price="0.05",
        currency="USD",
        starts_at=now - timedelta(days=40),
        ends_at=now - timedelta(days=39),
    )
    # Shut down at this time, and started again.
    Charge.objects.create(
        **fields, unit_price="0.068", currency="USD", starts_at=now - timedelta(days=3)
    )
    page = read(client, owner, f"/projects/{project.slug}/").replace("\N{NO-BREAK SPACE}", " ")
    # Each month's amount is rounded, so a charge that spans two may differ from 6.10 by a cent.
    parts = [part for charge in Charge.objects.all() for part in parts_of(charge, now)]
    so_far = sum(amount for _, amount in parts)
    assert f"Running for 3 days, {so_far} USD so far" in " ".join(page.split())
    assert "It costs 0.068 USD an hour" in page
