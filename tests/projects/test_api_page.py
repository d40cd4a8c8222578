"""The page of a project's API: tokens are shown once, listed, and revoked."""

import re
from datetime import timedelta
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.projectdb.tokens import find_token
from backups_portal.projects import api_views, profile_tokens
from backups_portal.projects.access import RightLostError
from backups_portal.projects.database_dsn import keyring, project_dsn
from backups_portal.projects.errors import DatabaseUnreachableError
from backups_portal.projects.models import Project
from tests.factories import PASSWORD, age_sign_in, make_account, make_project_row

TOKEN = re.compile(r"p-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{10}\b")
LISTED = {"list": "now"}
FORM = {"name": "migration script", "permission": "read", "lifetime": "30"}


@pytest.fixture
def owner(live_project: Project) -> Client:
    """A browser with the project's owner signed in."""
    client = Client()
    client.force_login(live_project.created_by)
    return client


def page(project: Project) -> str:
    return reverse("api", args=[project.slug])


def make(client: Client, project: Project, **changes: Any) -> str:
    """Create a token through the form; return its value."""
    response = client.post(page(project), {**FORM, **changes})
    assert response.status_code == 200
    (value,) = set(TOKEN.findall(response.text))
    return str(value)


def identity(project: Project, value: str) -> Any:
    with psycopg.connect(project_dsn(project)) as connection:
        return find_token(connection, value, keys=keyring())


def test_a_new_token_works_and_is_in_every_configuration(
    owner: Client, live_project: Project
) -> None:
    response = owner.post(page(live_project), FORM)
    value = TOKEN.search(response.text)[0]
    assert response.text.count(value) == 4  # on its own, and once for each client
    assert "no-store" in response.headers["Cache-Control"]
    found = identity(live_project, value)
    assert (found.kind, found.permission) == ("profile", "read")
    days = timedelta(days=30)
    assert abs(found.expires_at - timezone.now() - days) < timedelta(minutes=1)


@pytest.mark.parametrize(("others", "is_said"), [(2, False), (3, True)])
def test_other_projects_that_the_command_line_does_not_get(
    owner: Client,
    live_project: Project,
    monkeypatch: pytest.MonkeyPatch,
    others: int,
    is_said: bool,
) -> None:
    monkeypatch.setattr(api_views, "MAX_ENVIRONMENTS", 2)
    for _ in range(others):
        make_project_row(owner=live_project.created_by)
    text = owner.get(page(live_project)).text
    assert ("the first 2 of your other projects" in text) is is_said


def test_who_was_removed_while_the_database_was_waited_for_gets_no_token(
    live_project: Project,
) -> None:
    with pytest.raises(RightLostError):
        profile_tokens.make_token(
            project=live_project,
            actor=make_account("removed@example.com"),
            name="late",
            permission="full",
            expires_at=None,
        )
    assert profile_tokens.list_tokens(live_project) == []
    assert not AuditEvent.objects.filter(action="token.created").exists()


def test_what_the_log_cannot_tell_of_is_not_done(
    owner: Client, live_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(owner, live_project)
    (token,) = profile_tokens.list_tokens(live_project)

    def fail(**_: object) -> None:
        raise OperationalError

    monkeypatch.setattr(AuditEvent.objects, "create", fail)
    actor = live_project.created_by
    with pytest.raises(OperationalError):
        profile_tokens.revoke_token(project=live_project, actor=actor, token_id=token.id)
    with pytest.raises(OperationalError):
        profile_tokens.make_token(
            project=live_project, actor=actor, name="late", permission="full", expires_at=None
        )
    assert profile_tokens.list_tokens(live_project) == [token]


def test_its_value_is_shown_once(owner: Client, live_project: Project) -> None:
    value = make(owner, live_project)
    text = owner.get(page(live_project), LISTED).text
    assert not TOKEN.search(text)
    assert "YOUR-PROFILE-TOKEN" in text
    assert f"…{value[-4:]}" in text
    assert "migration script" in text


def test_a_token_that_never_expires(owner: Client, live_project: Project) -> None:
    value = make(owner, live_project, lifetime="")
    assert identity(live_project, value).expires_at is None


def test_a_second_token_of_the_same_name_is_refused(owner: Client, live_project: Project) -> None:
    make(owner, live_project)
    response = owner.post(page(live_project), {**FORM, "name": " Migration  script"})
    assert response.status_code == 400
    assert "There is already a token named" in response.text
    assert not TOKEN.search(response.text)


@pytest.mark.parametrize(
    "changes", [{"name": ""}, {"name": "x" * 101}, {"permission": "all"}, {"lifetime": "2"}]
)
def test_a_form_that_makes_nothing(
    owner: Client, live_project: Project, changes: dict[str, str]
) -> None:
    response = owner.post(page(live_project), {**FORM, **changes})
    assert response.status_code == 400
    assert "No tokens yet" in owner.get(page(live_project), LISTED).text


def test_revoking_asks_first(owner: Client, live_project: Project) -> None:
    make(owner, live_project)
    text = " ".join(owner.get(page(live_project), LISTED).text.split())
    assert "Revoke …</summary>" in text
    question = text.index("This cannot be undone.")
    assert text.index("Revoke …</summary>") < question < text.index("/revoke/")


def test_revoking_ends_a_token_at_once(owner: Client, live_project: Project) -> None:
    value = make(owner, live_project)
    url = reverse("api-token-revoke", args=[live_project.slug, identity(live_project, value).id])
    for said in ("is revoked", "was already revoked"):
        assert said in owner.post(url, follow=True).text
        assert identity(live_project, value) is None


def test_what_is_not_a_profile_token_is_not_revoked(owner: Client, live_project: Project) -> None:
    url = reverse("api-token-revoke", args=[live_project.slug, "not-an-id"])
    assert "was already revoked" in owner.post(url, follow=True).text


def test_both_are_audited_without_the_value(owner: Client, live_project: Project) -> None:
    value = make(owner, live_project)
    token_id = identity(live_project, value).id
    owner.post(reverse("api-token-revoke", args=[live_project.slug, token_id]))
    events = AuditEvent.objects.filter(project_id=live_project.pk).order_by("id")
    assert [event.action for event in events] == ["token.created", "token.revoked"]
    for event in events:
        assert event.account_email == live_project.created_by.email
        assert event.details["last_four"] == value[-4:]
        assert value not in str(event.details)


def test_a_browser_left_open_makes_no_token(owner: Client, live_project: Project) -> None:
    age_sign_in(owner, timedelta(minutes=16))
    form = {"name": "A & B", "permission": "read", "lifetime": "90"}
    assert owner.get(page(live_project)).status_code == 200
    asked = owner.post(page(live_project), form)
    assert asked.status_code == 302
    (back,) = parse_qs(urlsplit(asked["Location"]).query)["next"]
    answer = {"password": PASSWORD, "next": back}
    assert owner.post("/account/password-again/", answer)["Location"] == back
    shown = owner.get(back).text
    # The form keeps its values.
    assert 'value="A &amp; B"' in shown
    assert '<option value="read" selected>' in shown
    assert '<option value="90" selected>' in shown
    assert TOKEN.search(owner.post(back, form).text)


@pytest.mark.parametrize("current", ["api", "tokens", "ids", "api-reference"])
def test_each_tab_leads_to_all_of_them(owner: Client, live_project: Project, current: str) -> None:
    text = owner.get(reverse(current, args=[live_project.slug])).text
    _, tabs = text.split('<nav class="tabs"')
    assert re.findall(r'<a href="([^"]*)"( aria-current="page")?>', tabs)[:4] == [
        (reverse(tab, args=[live_project.slug]), ' aria-current="page"' if tab == current else "")
        for tab in ("api", "tokens", "ids", "api-reference")
    ]


class TestTheList:
    """It loads after the page, which does not wait for the project's database."""

    def test_the_page_does_not_wait_for_it(self, owner: Client, live_project: Project) -> None:
        with mock.patch.object(api_views, "list_tokens", side_effect=AssertionError):
            text = owner.get(page(live_project)).text
        assert 'hx-get="?list=now"' in text
        assert "Show tokens" in text

    def test_it_comes_as_a_part_of_the_page(self, owner: Client, live_project: Project) -> None:
        make(owner, live_project)
        part = owner.get(page(live_project), LISTED, headers={"HX-Request": "true"})
        assert "migration script" in part.text
        assert "<html" not in part.text
        assert "no-store" in part.headers["Cache-Control"]

    def test_a_database_that_does_not_answer(self, owner: Client, live_project: Project) -> None:
        away = DatabaseUnreachableError("It does not answer.")
        with mock.patch.object(api_views, "list_tokens", side_effect=away):
            whole = owner.get(page(live_project), LISTED)
            part = owner.get(page(live_project), LISTED, headers={"HX-Request": "true"})
        assert (whole.status_code, part.status_code) == (503, 200)
        assert "It does not answer." in part.text
        assert "Try again" in part.text

    def test_what_was_filled_in_stays_when_none_is_made(
        self, owner: Client, live_project: Project
    ) -> None:
        away = DatabaseUnreachableError("It does not answer.")
        with mock.patch.object(api_views, "make_token", side_effect=away):
            response = owner.post(page(live_project), FORM)
        assert response.status_code == 503
        assert "No token was created" in response.text
        assert 'value="migration script"' in response.text
