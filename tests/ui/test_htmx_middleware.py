"""When a live part of a page cannot continue, the page around it follows."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.lib import liveness
from backups_portal.lib.redis_client import redis_client
from backups_portal.projects.models import Membership, Project
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> Account:
    return factories.make_account()


@pytest.fixture
def project(owner: Account) -> Project:
    return factories.make_project_row(owner=owner)


@pytest.fixture
def part(project: Project, owner: Account) -> str:
    """The address of the live part of a running restore's page."""
    snapshot = factories.make_snapshot(project)
    restore = factories.make_restore(snapshot, requested_by=owner, state="running")
    return f"/restores/{restore.pk}/status/"


def poll(client: Client, address: str, page: str = "/restores/one/") -> Any:
    """Send htmx's request from a page."""
    headers = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{page}"}
    return client.get(address, headers=headers)


def test_without_a_session_the_page_goes_to_the_sign_in_and_comes_back(
    client: Client, part: str
) -> None:
    response = poll(client, part)
    assert response.status_code == 200
    assert response.headers["HX-Redirect"] == "/sign-in/?next=/restores/one/"
    assert response.content == b""


def test_the_way_back_stays_on_this_host(client: Client, part: str) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "https://elsewhere.example/x"}
    response = client.get(part, headers=headers)
    assert response.headers["HX-Redirect"] == "/sign-in/?next=/"


def test_a_removed_member_is_told_once(
    client: Client, owner: Account, project: Project, part: str
) -> None:
    client.force_login(owner)
    assert poll(client, part).status_code == 200
    Membership.objects.filter(account=owner, project=project).delete()
    response = poll(client, part)
    # The page reloads, and an error page polls no more.
    assert response.status_code == 404
    assert response.headers["HX-Refresh"] == "true"
    assert "hx-get" not in client.get(part.removesuffix("status/")).text
    assert AuditEvent.objects.filter(action="access.refused").count() == 2


def test_a_member_with_a_smaller_role_is_told_once(
    client: Client, owner: Account, project: Project, part: str
) -> None:
    Membership.objects.filter(account=owner).update(role=Membership.Role.COLLABORATOR)
    client.force_login(owner)
    response = poll(client, part)
    assert (response.status_code, response.headers["HX-Refresh"]) == (403, "true")


def test_other_requests_are_answered_as_ever(client: Client, part: str) -> None:
    assert client.get(part).status_code == 302
    client.force_login(factories.make_account())
    response = client.get(part)
    assert response.status_code == 404
    assert "HX-Refresh" not in response.headers


def test_a_page_that_reads_itself_again_does_not_keep_its_session(
    client: Client, owner: Account, part: str
) -> None:
    client.force_login(owner)
    poll(client, part)
    assert "seen_at" not in client.session
    client.get(part)
    assert "seen_at" in client.session


@pytest.mark.parametrize("name", ["backups", "restore", "transfer"])
def test_a_live_part_brings_along_that_workers_are_offline(
    client: Client, owner: Account, project: Project, part: str, name: str
) -> None:
    transfer = factories.make_transfer(
        project, factories.make_project_row(owner=owner), requested_by=owner
    )
    address = {
        "backups": f"/projects/{project.slug}/backups/",
        "restore": part,
        "transfer": f"/projects/{project.slug}/transfers/{transfer.pk}/status/",
    }[name]
    client.force_login(owner)
    liveness.note(liveness.WORKER)
    assert '<div id="workers" hx-swap-oob="true">' in poll(client, address).text
    assert "The workers are offline" not in poll(client, address).text
    redis_client().set(liveness.KEY, (timezone.now() - timedelta(days=400)).isoformat())
    liveness.seen.at = liveness.NEVER
    try:
        assert "The workers are offline" in poll(client, address).text
        assert client.get(f"/projects/{project.slug}/backups/").text.count('id="workers"') == 1
    finally:
        redis_client().delete(liveness.KEY)


def test_a_page_has_room_for_the_words_that_the_connection_is_lost(
    client: Client, owner: Account
) -> None:
    client.force_login(owner)
    # portal.js fills it; an empty one takes no room.
    assert '<div class="connection-lost" id="connection-lost" role="status"></div>' in (
        client.get("/").text
    )
    script = (Path(settings.BASE_DIR) / "static" / "js" / "portal.js").read_text()
    assert 'getElementById("connection-lost")' in script
