"""Moments are shown on the visitor's clock, once the browser has reported its zone."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.projects.models import MainDatabase
from backups_portal.ui import moments
from tests.factories import make_project_row, make_snapshot

pytestmark = pytest.mark.django_db
IN_UTC = '23 Nov 2024, 02:05 <span class="zone">UTC</span></time>'


@pytest.fixture
def page(client: Client) -> str:
    project = make_project_row()
    make_snapshot(project, taken_at=datetime(2024, 11, 23, 2, 5, tzinfo=UTC))
    client.force_login(project.created_by)
    return f"/projects/{project.slug}/backups/"


def test_the_projects_clocks_while_the_viewers_are_not_known(client: Client, page: str) -> None:
    assert IN_UTC in client.get(page).text


def test_the_viewers_clocks_with_all_others_on_hover(client: Client, page: str) -> None:
    client.cookies["zone"] = "Asia/Tokyo"
    MainDatabase.objects.update(backup_time_zone="Europe/Berlin")
    hover = (
        'title="23 Nov 2024, 11:05:00 JST \N{MIDDLE DOT} 23 Nov 2024, 03:05:00 CET '
        '\N{MIDDLE DOT} 23 Nov 2024, 02:05:00 UTC"'
    )
    shown = '23 Nov 2024, 11:05 <span class="zone">JST</span></time>'
    assert f"{hover}>{shown}" in client.get(page).text


def test_a_zone_that_is_obvious_is_not_named(client: Client, page: str) -> None:
    client.cookies["zone"] = "UTC"
    assert "23 Nov 2024, 02:05</time>" in client.get(page).text
    # Paris and Berlin have the same time, and one page has days of both.
    client.cookies["zone"] = "Europe/Paris"
    MainDatabase.objects.update(backup_time_zone="Europe/Berlin")
    assert "23 Nov 2024, 03:05</time>" in client.get(page).text


@pytest.mark.parametrize("sent", ["Mars/Olympus", "../../etc/passwd", "/etc", "x" * 5000, "é", "."])
def test_nonsense_is_not_a_zone(client: Client, page: str, sent: str) -> None:
    client.cookies["zone"] = sent
    assert IN_UTC in client.get(page).text


def test_the_next_visitor_has_clocks_of_their_own(client: Client, page: str) -> None:
    client.cookies["zone"] = "Asia/Tokyo"
    client.get(page)
    client.cookies.clear()
    assert client.get(page).status_code == 302


def test_how_far_a_moment_is_from_now() -> None:
    three_hours = timedelta(hours=3, seconds=5)
    assert ">3\N{NO-BREAK SPACE}hours ago</time>" in moments.ago(timezone.now() - three_hours)
    assert ">in 3\N{NO-BREAK SPACE}hours</time>" in moments.ago(timezone.now() + three_hours)
