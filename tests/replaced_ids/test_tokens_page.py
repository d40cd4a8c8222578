"""The owner of a lost project finds each device's new token, and no other account does."""

import csv
import re

import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import Project
from tests.factories import make_account, make_membership
from tests.replaced_ids.test_id_lookup import old_token
from tests.transfers.projects import add_truck, open_project
from tests.transfers.test_transfer_run import move

LISTED = {"list": "now"}


def url(project: Project) -> str:
    return f"/projects/{project.slug}/tokens/"


@pytest.fixture
def moved(backup: Project, live: Project, owner: Account, client: Client) -> Project:
    """A project whose truck came with a transfer."""
    move(backup, live, owner)
    client.force_login(owner)
    return live


def token_id(project: Project) -> str:
    with open_project(project) as connection:
        row = connection.execute("SELECT id::text FROM token WHERE kind = 'device'").fetchone()
    assert row
    return str(row[0])


def test_tokens_are_listed_without_their_values(
    client: Client, moved: Project, backup: Project
) -> None:
    old, new = old_token(backup), old_token(moved)
    page = client.get(url(moved), LISTED).text
    assert "Truck" in page
    assert (f"…{old[-4:]}" in page, f"…{new[-4:]}" in page) == (True, True)
    assert new not in page


def test_the_page_does_not_wait_for_the_list(client: Client, moved: Project) -> None:
    page = client.get(url(moved)).text
    assert ('hx-get="?list=now"' in page, "Show tokens" in page) == (True, True)
    assert "Truck" not in page
    part = client.get(url(moved), LISTED, headers={"HX-Request": "true"})
    assert ("Truck" in part.text, "<html" in part.text) == (True, False)


def test_a_database_that_is_away_is_said(client: Client, moved: Project) -> None:
    Project.objects.filter(pk=moved.pk).update(database="nowhere")
    assert client.get(url(moved)).status_code == 200
    page = client.get(url(moved), LISTED)
    part = client.get(url(moved), LISTED, headers={"HX-Request": "true"})
    assert (page.status_code, part.status_code) == (503, 200)
    for answer in (page, part):
        assert "is not responding" in answer.text
        assert "Try again" in answer.text


def test_one_is_revealed_and_that_is_written_down(client: Client, moved: Project) -> None:
    response = client.post(url(moved), {"token": token_id(moved)})
    value = old_token(moved)
    assert re.search(rf"<pre[^>]*>{value}</pre>", response.text)
    assert "no-store" in response.headers["Cache-Control"]
    event = AuditEvent.objects.get(action="token.revealed")
    assert (event.subject, event.details["last_four"]) == ("Truck", value[-4:])
    assert value not in str(event.details)
    assert value not in client.get(url(moved), LISTED).text


def test_tokens_of_a_project_that_is_shut_down_are_said_not_to_work(
    client: Client, moved: Project
) -> None:
    useless = "This project is shut down, so none of its tokens work."
    pages = [f"/projects/{moved.slug}/{page}/" for page in ("api", "tokens", "ids")]
    assert [page for page in pages if useless in client.get(page).text] == []
    Project.objects.filter(pk=moved.pk).update(state="shut_down", shut_down_at=timezone.now())
    assert [page for page in pages if useless not in client.get(page).text] == []


def test_one_that_is_gone_is_not_found(client: Client, moved: Project) -> None:
    for token in ("f" * 24, "", "no token"):
        assert client.post(url(moved), {"token": token}).status_code == 404
    assert not AuditEvent.objects.filter(action="token.revealed").exists()


def test_another_projects_token_is_not_revealed(
    client: Client, moved: Project, backup: Project
) -> None:
    assert client.post(url(moved), {"token": token_id(backup)}).status_code == 404


def test_another_projects_sealed_value_is_not_revealed(
    client: Client, moved: Project, backup: Project
) -> None:
    with open_project(backup) as connection:
        (row,) = connection.execute("SELECT sealed_value FROM token WHERE kind = 'device'")
    with open_project(moved) as connection:
        connection.execute("UPDATE token SET sealed_value = %s", row)
    assert client.post(url(moved), {"token": token_id(moved)}).status_code == 404


def test_many_are_paged_and_searched(client: Client, moved: Project) -> None:
    for number in range(30):
        add_truck(moved, device=f"{number:024x}", name=f"Sensor {number:02}")
    first = client.get(url(moved), LISTED)
    assert "of <strong>31</strong> tokens" in first.text
    assert "Sensor 00" in first.text
    assert "Truck" not in first.text
    assert "Truck" in client.get(url(moved), {**LISTED, "page": 2}).text
    found = client.get(url(moved), {**LISTED, "q": "sensor 17"}).text
    assert re.findall(r'row-name">([^<]+)<', found) == ["Sensor 17"]
    assert "No token matches “% _”" in client.get(url(moved), {**LISTED, "q": "% _"}).text
    last = client.post(url(moved), {"token": token_id(moved), "q": "truck", "page": "9"})
    assert re.findall(r'row-name">([^<]+)<', last.text) == ["Truck"]


def test_the_checklist_opens_in_a_spreadsheet(
    client: Client, moved: Project, backup: Project
) -> None:
    add_truck(moved, device="b" * 24, name="=1+1")
    response = client.get(f"/projects/{moved.slug}/tokens.csv")
    lines = b"".join(response.streaming_content).decode().splitlines()
    rows = {row["resource"]: row for row in csv.DictReader(lines)}
    old, new = old_token(backup), rows["Truck"]["new last four"]
    assert rows["Truck"]["old last four"] == old[-4:]
    assert new != old[-4:]
    assert rows["'=1+1"]["old last four"] == ""


def test_a_collaborator_sees_and_reveals_none(client: Client, moved: Project) -> None:
    account = make_account()
    make_membership(moved, account)
    client.force_login(account)
    assert client.get(url(moved)).status_code == 403
    assert client.post(url(moved), {"token": token_id(moved)}).status_code == 403
    assert client.get(f"/projects/{moved.slug}/tokens.csv").status_code == 403
