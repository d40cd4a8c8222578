"""The operators' command that closes an account and all its sessions and tokens."""

import io
import json
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.management import CommandError, call_command
from django.test import Client

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import Membership, Project
from tests import factories

pytestmark = pytest.mark.django_db
EVENTS = ("account.closed", "account.reopened")


def run(email: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("close_account", email, stdout=out, **options)
    return out.getvalue()


def test_a_closed_account_is_shut_out_at_once_until_it_is_opened_again(client: Client) -> None:
    account = factories.make_account("ada@example.com")
    project, token = factories.make_project_row(owner=account), factories.make_token(account)
    client.force_login(account)
    assert client.get("/").status_code == 200
    assert bearer_status(token) == 200

    run("ADA@example.com")
    assert client.get("/").status_code == 302
    assert bearer_status(token) == 401
    assert signs_in(account) is False
    assert Membership.objects.filter(project=project, account=account).exists()

    run("ada@example.com", reopen=True)
    # The old session stays ended.
    assert client.get("/").status_code == 302
    assert bearer_status(token) == 200
    assert signs_in(account) is True
    found = AuditEvent.objects.filter(action__in=EVENTS).order_by("pk")
    assert [(one.action, one.subject, one.account_id) for one in found] == [
        (action, "ada@example.com", None) for action in EVENTS
    ]


def test_a_change_of_email_that_waits_for_its_link_is_over() -> None:
    account = factories.make_account("ada@example.com")
    EmailAddress.objects.create(user=account, email="thief@example.com", verified=False)
    run("ada@example.com")
    run("ada@example.com", reopen=True)
    assert not EmailAddress.objects.filter(user=account, verified=False).exists()


def bearer_status(token: str) -> int:
    return Client().get("/api/v1/projects", HTTP_AUTHORIZATION=f"Bearer {token}").status_code


def signs_in(account: Account) -> bool:
    browser = Client()
    browser.post("/sign-in/", {"username": account.email, "password": factories.PASSWORD})
    return browser.get("/").status_code == 200


def test_it_names_the_projects_that_nobody_owns_any_more() -> None:
    account, other = factories.make_account("ada@example.com"), factories.make_account()
    closed = factories.make_account(is_active=False)
    alone = factories.make_project_row(owner=account, slug="alone")
    factories.make_membership(alone, closed, Membership.Role.OWNER)
    factories.make_membership(alone, other, Membership.Role.COLLABORATOR)
    shared = factories.make_project_row(owner=account, slug="shared")
    factories.make_membership(shared, other, Membership.Role.OWNER)
    factories.make_project_row(owner=account, slug="gone", state="removed")
    assert json.loads(run(account.email, json=True)) == {
        "email": "ada@example.com",
        "is_open": False,
        "projects_without_owner": ["alone"],
    }
    run(account.email, reopen=True)
    assert "Nobody who can sign in owns these projects now: alone." in run(account.email)


def test_what_changes_nothing_is_refused_and_not_written_down() -> None:
    factories.make_account("ada@example.com")
    for email, options, said in (
        ("nobody@example.com", {}, "There is no account nobody@example.com."),
        ("ada@example.com", {"reopen": True}, "The account ada@example.com is open already."),
    ):
        with pytest.raises(CommandError, match=said):
            run(email, **options)
    run("ada@example.com")
    with pytest.raises(CommandError, match="is closed already"):
        run("ada@example.com")
    assert AuditEvent.objects.filter(action__in=EVENTS).count() == 1


@pytest.mark.parametrize("command", [("create_project", "Cold Chain"), ("rebuild_catalogue",)])
def test_a_closed_account_is_given_no_project(command: tuple[str, ...], storage_url: str) -> None:
    factories.make_account("ada@example.com")
    run("ada@example.com")
    with pytest.raises(CommandError, match=r"ada@example\.com is closed\. Reopen it first"):
        call_command(*command, "--owner", "Ada@example.com")
    assert not Project.objects.exists()
