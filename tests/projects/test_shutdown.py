"""Shutting a project down, and starting it again."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.billing.charge_ledger import current_quote, start_running
from backups_portal.billing.models import Charge
from backups_portal.projects.models import MainDatabase, Project
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> Account:
    return factories.make_account()


@pytest.fixture
def project(owner: Account, client: Client) -> Project:
    client.force_login(owner)
    project = factories.make_project_row(owner=owner, name="Cold Chain")
    start_running(project=project, quote=current_quote(), reason="New project")
    MainDatabase.objects.update(next_snapshot_at=timezone.now() + timedelta(days=1))
    return project


def shut_down(client: Client, project: Project, name: str = "Cold Chain") -> Any:
    return client.post(f"/projects/{project.slug}/shut-down/", {"name": name})


def start_again(client: Client, project: Project) -> str:
    url = f"/projects/{project.slug}/start-again/"
    return client.post(url, follow=True).content.decode()


def test_the_charge_and_the_backups_stop(client: Client, project: Project) -> None:
    assert shut_down(client, project).status_code == 302
    project.refresh_from_db()
    assert project.state == "shut_down"
    assert Charge.objects.get(project_id=project.pk).ends_at is not None
    assert MainDatabase.objects.get().next_snapshot_at is None
    assert AuditEvent.objects.filter(action="project.shut_down").count() == 1


@pytest.mark.parametrize("name", ["", "Cold", "cold chain", "Cold Chain 2"])
def test_another_name_shuts_nothing_down(client: Client, project: Project, name: str) -> None:
    assert shut_down(client, project, name).status_code == 400
    project.refresh_from_db()
    assert project.state == "active"
    assert Charge.objects.get().ends_at is None


def test_blanks_around_the_name_are_no_other_name(client: Client, project: Project) -> None:
    assert shut_down(client, project, "  Cold  Chain ").status_code == 302


def test_a_second_time_moves_nothing(client: Client, project: Project) -> None:
    shut_down(client, project)
    first = Project.objects.values("shut_down_at").get()
    ended = Charge.objects.get().ends_at
    shut_down(client, project)
    assert Project.objects.values("shut_down_at").get() == first
    assert Charge.objects.get().ends_at == ended
    assert AuditEvent.objects.filter(action="project.shut_down").count() == 1


def test_started_again_it_costs_again_and_is_backed_up(client: Client, project: Project) -> None:
    shut_down(client, project)
    assert "can start it again" in client.get(f"/projects/{project.slug}/").content.decode()
    for _ in range(2):
        assert "is running again" in start_again(client, project)
    project.refresh_from_db()
    assert (project.state, project.shut_down_at) == ("active", None)
    assert Charge.objects.filter(ends_at=None).count() == 1
    assert Charge.objects.count() == 2
    assert MainDatabase.objects.get().next_snapshot_at is not None


def test_a_price_that_changed_since_the_page_was_shown_is_shown_first(
    client: Client, project: Project, settings: Settings
) -> None:
    shut_down(client, project)
    page = client.get(f"/projects/{project.slug}/").text
    (quote,) = re.findall(r'name="quote" value="([^"]*)"', page)
    settings.PROJECT_RUNNING_FEE_PER_HOUR *= 2
    url = f"/projects/{project.slug}/start-again/"
    said = client.post(url, {"quote": quote}, follow=True).text
    assert "The price has changed since this page was shown." in said
    assert Charge.objects.filter(ends_at=None).count() == 0
    (quote,) = re.findall(r'name="quote" value="([^"]*)"', said)
    assert "is running again" in client.post(url, {"quote": quote}, follow=True).text


def test_after_the_grace_period_it_stays_shut_down(client: Client, project: Project) -> None:
    shut_down(client, project)
    Project.objects.update(shut_down_at=timezone.now() - timedelta(days=7, seconds=1))
    assert "be started again" in start_again(client, project)
    project.refresh_from_db()
    assert project.state == "shut_down"
    assert Charge.objects.filter(ends_at=None).count() == 0


def test_the_grace_period_is_a_setting(
    client: Client, project: Project, settings: Settings
) -> None:
    settings.PROJECT_GRACE = timedelta(days=1)
    page = client.get(f"/projects/{project.slug}/shut-down/").text
    assert "You can start it again for 1 day." in page
    shut_down(client, project)
    Project.objects.update(shut_down_at=timezone.now() - timedelta(days=2))
    assert "be started again" in start_again(client, project)


def test_a_restored_project_reminds_of_its_cost(
    client: Client, owner: Account, project: Project
) -> None:
    snapshot = factories.make_snapshot(factories.make_project_row(owner=owner, name="Fleet"))
    factories.make_restore(snapshot, requested_by=owner, project=project)
    running = Charge.objects.filter(project_id=project.pk, kind="running")
    if not running.exists():
        start_running(project=project, quote=current_quote(), reason="Test")
    running.update(starts_at=timezone.now() - timedelta(days=3))
    page = client.get(f"/projects/{project.slug}/").content.decode()
    assert "Running for 3\N{NO-BREAK SPACE}days" in page
    assert f"/projects/{project.slug}/shut-down/" in page
