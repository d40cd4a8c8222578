"""A form with errors comes back with the focus on them, and nowhere else."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Project
from snapshots.models import Snapshot
from tests import factories

pytestmark = pytest.mark.django_db
TEMPLATES = Path(settings.BASE_DIR) / "templates"
SETTINGS = {"backup_time": "03:00", "backup_time_zone": "UTC", "retention_days": "7"}


@pytest.fixture
def owner(client: Client) -> Account:
    account = factories.make_account()
    client.force_login(account)
    return account


@pytest.fixture
def project(owner: Account) -> Project:
    return factories.make_project_row(owner=owner)


@pytest.fixture
def snapshot(project: Project) -> Snapshot:
    return factories.make_snapshot(project)


def focused(page: str) -> list[str]:
    """Return the ids of everything that requests the focus; "" for elements without one."""
    tags = re.findall(r"<[^>]*\sautofocus[^>]*>", page)
    return [(re.findall(r'\sid="([^"]*)"', tag) or [""])[0] for tag in tags]


def links(page: str) -> list[str]:
    """Return the targets of the summary at the top of the page."""
    (summary,) = re.findall(r"Needs your attention:(.*?)</p>", page, re.DOTALL)
    return re.findall(r'<a href="#(\w+)">', summary)


@pytest.mark.parametrize(
    ("address", "form", "wrong"),
    [
        ("main-database/", {**SETTINGS, "retention_days": "0"}, ["id_retention_days"]),
        (
            "main-database/",
            {**SETTINGS, "backup_time_zone": "Mars", "retention_days": "0"},
            ["id_backup_time_zone", "id_retention_days"],
        ),
        ("members/", {"email": "nobody", "role": "owner"}, ["id_email"]),
        ("shut-down/", {"name": "Another"}, ["id_name"]),
        ("backups/{snapshot}/restore/", {"name": ""}, ["id_name", "id_accept_charges"]),
        ("backups/{snapshot}/restore/", {"name": "Rescue"}, ["id_accept_charges"]),
        (
            "notifications/",
            {"reminder_days": "0", "wanted": "x"},
            ["id_wanted_0", "id_reminder_days"],
        ),
    ],
)
def test_the_first_wrong_field_has_the_focus_and_the_summary_names_all(
    client: Client,
    project: Project,
    snapshot: Snapshot,
    address: str,
    form: dict[str, Any],
    wrong: list[str],
) -> None:
    url = f"/projects/{project.slug}/{address.format(snapshot=snapshot.pk)}"
    page = client.post(url, form).text
    assert focused(page) == wrong[:1]
    assert links(page) == wrong
    assert "Needs your attention" not in client.get(url).text


def test_a_field_that_asks_for_the_focus_yields_to_the_one_that_is_wrong(
    client: Client, owner: Account
) -> None:
    url = "/account/tokens/new/"
    assert focused(client.get(url).text) == ["id_name"]
    page = client.post(url, {"name": "script"}).text
    assert focused(page) == links(page) == ["id_scopes_0"]


def test_a_message_about_a_short_form_leaves_the_focus_to_its_field(client: Client) -> None:
    page = client.post("/sign-in/", {"username": "x@example.com", "password": "wrong"}).text
    assert "Wrong e-mail or password." in page
    assert focused(page) == ["id_username"]


def test_what_is_wrong_with_the_whole_form_is_scrolled_to(
    client: Client, project: Project, snapshot: Snapshot
) -> None:
    url = f"/projects/{project.slug}/backups/{snapshot.pk}/restore/"
    # The snapshot's objects are missing from storage.
    page = client.post(url, {"name": "Rescue", "accept_charges": "on"}).text
    assert len(re.findall(r'role="alert"\s+tabindex="-1" autofocus', page)) == 1
    assert focused(page) == [""]


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.name)
def test_forms_are_sent_without_the_anchor_of_their_page(path: Path) -> None:
    """A form without an address keeps the anchor, which would take the focus from the errors."""
    for form in re.findall(r"<form[^>]*>", path.read_text()):
        assert 'method="post"' not in form or "action=" in form
