"""Moments are shown on the clocks of whoever looks, once their browser has told which."""

from datetime import UTC, datetime

import pytest
from django.test import Client

from tests.factories import make_project_row, make_snapshot

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client) -> str:
    project = make_project_row()
    make_snapshot(project, taken_at=datetime(2026, 11, 23, 2, 5, tzinfo=UTC))
    client.force_login(project.created_by)
    return f"/projects/{project.slug}/backups/"


def test_the_projects_clocks_while_the_viewers_are_not_known(client: Client, page: str) -> None:
    assert '23 Nov 2026, 02:05 <span class="zone">UTC</span>' in client.get(page).text


def test_the_viewers_clocks_with_utc_on_hover(client: Client, page: str) -> None:
    client.cookies["zone"] = "Asia/Tokyo"
    text = client.get(page).text
    assert 'title="2026-11-23 02:05:00 UTC">23 Nov 2026, 11:05 <span class="zone">JST' in text


@pytest.mark.parametrize("sent", ["Mars/Olympus", "../../etc/passwd", "/etc", "x" * 5000, "é", "."])
def test_nonsense_is_not_a_zone(client: Client, page: str, sent: str) -> None:
    client.cookies["zone"] = sent
    assert '23 Nov 2026, 02:05 <span class="zone">UTC</span>' in client.get(page).text


def test_the_next_visitor_has_clocks_of_their_own(client: Client, page: str) -> None:
    client.cookies["zone"] = "Asia/Tokyo"
    client.get(page)
    client.cookies.clear()
    assert client.get(page).status_code == 302
