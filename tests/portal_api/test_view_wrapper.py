"""Which tokens are admitted, and what all answers have in common."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from backups_portal.access_tokens.issued_tokens import revoke_access_token
from backups_portal.access_tokens.models import AccessToken
from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.portal_api.view_wrapper import MAX_BODY_BYTES
from backups_portal.projects.due_times import NOT_BY_HAND
from backups_portal.projects.models import Project
from snapshots.models import Snapshot
from tests import factories
from tests.portal_api.conftest import Program

pytestmark = pytest.mark.django_db


def expire(account: Account) -> None:
    AccessToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def revoke(account: Account) -> None:
    revoke_access_token(account=account, token_id=AccessToken.objects.get().pk)


def close(account: Account) -> None:
    Account.objects.filter(pk=account.pk).update(is_active=False)


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        (expire, "This token has expired."),
        (revoke, "This token was revoked."),
        (close, "This token's account is closed."),
    ],
)
def test_a_token_ends(owner: Account, program: Program, end: Any, sentence: str) -> None:
    program.get("/projects")
    end(owner)
    for _ in range(3):
        assert program.refused(401, "GET", "/projects")["detail"] == sentence
    event = AuditEvent.objects.get(action="account.token_refused")
    assert (event.account_id, event.details["reason"]) == (owner.pk, sentence)
    assert program.token not in repr(AuditEvent.objects.values())


@pytest.mark.parametrize(
    "sent",
    [
        *("", "Bearer", "Bearer ", "Bearer bp_", f"Bearer bp_{'0' * 40}", "Bearer ' OR 1=1 --"),
        *(f"Bearer {'x' * 7000}", "Basic b2xpdmlhOnNlY3JldA==", f"Token bp_{'0' * 40}"),
        *(f"Bearer BP_{'0' * 40}", f"Bearer bp_{'0' * 40}\x00", "Bearer \xff\xfe"),
    ],
)
def test_what_is_no_token_is_not_let_in(project: Project, sent: str) -> None:
    response = Client().get("/api/v1/projects", headers={"Authorization": sent})
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="Backups Portal"'
    assert response.json()["code"] == "unauthenticated"


def test_unknown_tokens_fill_no_log() -> None:
    for _ in range(20):
        Program(f"bp_{'0' * 40}").refused(401, "GET", "/projects")
    assert AuditEvent.objects.filter(action="account.token_refused").count() == 1


def test_a_session_is_no_token(owner: Account, project: Project) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    for method, path in (("GET", "/projects"), ("PATCH", "/projects/cold-chain/settings")):
        response = client.generic(method, f"/api/v1{path}", "{}", "application/json")
        assert response.status_code == 401
        assert "sessionid" not in response.cookies


def test_a_token_signs_nobody_in(program: Program) -> None:
    headers = {"Authorization": f"Bearer {program.token}"}
    response = Client().get("/account/tokens/", headers=headers)
    assert response.status_code == 302
    assert response["Location"].startswith("/sign-in/")


def test_a_missing_scope_is_named(owner: Account, project: Project) -> None:
    program = Program(factories.make_token(owner, "projects:read", "restores:read"))
    problem = program.refused(403, "GET", "/projects/cold-chain/backups")
    assert (problem["code"], problem["needed_scope"]) == ("insufficient_scope", "backups:read")
    assert "backups:read" in problem["detail"]
    event = AuditEvent.objects.get(action="account.token_refused")
    assert event.details["reason"] == "This token lacks the scope backups:read."


def test_its_last_use_is_noted_once_a_minute(
    program: Program, django_assert_num_queries: Any
) -> None:
    program.get("/projects")
    used_at = AccessToken.objects.get().last_used_at
    assert timezone.now() - used_at < timedelta(seconds=30)
    # The token with its account, and an empty count.
    with django_assert_num_queries(2):
        program.get("/projects")
    assert AccessToken.objects.get().last_used_at == used_at
    AccessToken.objects.update(last_used_at=used_at - timedelta(minutes=2))
    program.get("/projects")
    assert AccessToken.objects.get().last_used_at >= used_at


def test_each_token_has_so_many_requests_a_minute(
    settings: Settings, owner: Account, program: Program
) -> None:
    settings.PORTAL_API_REQUESTS_PER_MINUTE = 3
    answers = [program.ask("GET", "/projects") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
    assert 0 < int(answers[-1]["Retry-After"]) <= 60
    assert answers[-1].json()["code"] == "too_many_requests"
    Program(factories.make_token(owner)).get("/projects")
    settings.PORTAL_API_REQUESTS_PER_MINUTE = 0
    program.get("/projects")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "MAKE"])
def test_no_method_makes_a_backup(program: Program, project: Project, method: str) -> None:
    for path in ("/projects/cold-chain/backups", f"/projects/cold-chain/backups?{method}"):
        response = program.ask(method, path, {"scheduled_for": "2026-03-01T03:00:00Z"})
        assert response.status_code == 405
        assert response["Allow"] == "GET, HEAD"
        if method == "POST":
            assert response.json()["detail"] == NOT_BY_HAND
    assert not project.snapshots.exists()


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/projects/", "/projects/a/backups/1", "/%00", "/projects/a%0A"]
)
def test_other_addresses_are_answered_in_json(program: Program, path: str) -> None:
    assert program.refused(404, "GET", path)["code"] == "not_found"


@pytest.mark.parametrize(
    ("query", "host"), [("a=1&" * 1_001, "testserver"), ("", "elsewhere.example"), ("", "a b")]
)
def test_what_no_view_is_given_is_refused_in_json(program: Program, query: str, host: str) -> None:
    problem = program.refused(400, "GET", f"/projects?{query}", Host=host)
    assert problem["code"] == "unreadable"
    assert (
        Client()
        .get(f"/sign-in/?{query}", headers={"Host": host})["Content-Type"]
        .startswith("text/html")
    )


@pytest.mark.parametrize(
    ("method", "path", "names"),
    [
        ("GET", "/projects?limt=5&page=1&&seite=2", ["limt", "seite"]),
        ("HEAD", "/projects?limt=5", ["limt"]),
        ("GET", "/projects/cold-chain?page=1", ["page"]),
        ("GET", "/projects/cold-chain/backups?restorable=1&Page=2", ["Page"]),
        ("GET", "/projects/cold-chain/evidence?from=2026-10-01&until=2026-10-02", ["until"]),
        ("PATCH", "/projects/cold-chain/settings?accept_deletion=true", ["accept_deletion"]),
    ],
)
def test_an_unknown_parameter_is_named(
    program: Program, project: Project, method: str, path: str, names: list[str]
) -> None:
    answer = program.ask(method, path, {"retention_days": 1} if method == "PATCH" else None)
    project.main_database.refresh_from_db()
    assert (answer.status_code, project.main_database.retention_days) == (422, 7)
    if method != "HEAD":
        problem = answer.json()
        assert problem["code"] == "invalid"
        assert [error["field"] for error in problem["errors"]] == names
        assert problem["detail"] == f"“{names[0]}” is no parameter of this address."


@pytest.mark.parametrize(
    "query", ["evidence?from=2026-10-01&from=2026-11-01", "backups?page=1&limit=5&page=2"]
)
def test_a_repeated_parameter_is_named(program: Program, project: Project, query: str) -> None:
    problem = program.refused(422, "GET", f"/projects/cold-chain/{query}")
    name = "from" if "from" in query else "page"
    assert [error["field"] for error in problem["errors"]] == [name]
    assert problem["detail"] == f"“{name}” is given more than once."


def test_known_parameters_are_taken_by_the_name_that_is_described(
    program: Program, snapshot: Snapshot
) -> None:
    found = program.get("/projects/cold-chain/backups", page=1, limit=5, restorable="true")
    assert [one["id"] for one in found["items"]] == [str(snapshot.pk)]
    days = dict.fromkeys(("from", "to"), timezone.now().date())
    assert program.get("/projects/cold-chain/evidence", **days)["payload"]


def test_the_right_is_asked_before_what_would_be_ignored(
    project: Project, program: Program
) -> None:
    collaborator = factories.make_account()
    factories.make_membership(project, collaborator)
    theirs = Program(factories.make_token(collaborator))
    for query, tags in (("?x=1", "*"), ("", '"1"')):
        headers = {"If-Match": tags}
        for path in ("/projects/none/settings", f"/restores/{project.pk}", "/nothing"):
            program.refused(404, "GET", f"{path}{query}", **headers)
        path = f"/projects/cold-chain/settings{query}"
        program.refused(405, "DELETE", path, **headers)
        theirs.refused(403, "GET", path, **headers)
    refused = AuditEvent.objects.filter(action="access.refused", account_id=collaborator.pk)
    assert refused.count() == 2


def test_without_a_token_it_is_not_said_what_is_wrong(project: Project) -> None:
    headers = {"If-Match": "x"}
    assert Client().get("/api/v1/projects?limt=5", headers=headers).status_code == 401


def test_a_condition_that_cannot_be_met_is_not_ignored(program: Program, project: Project) -> None:
    path, body = "/projects/cold-chain/settings", {"retention_days": 30}
    for tags in ('"1"', 'W/"1", "2"', ""):
        problem = program.refused(412, "PATCH", path, body, **{"If-Match": tags})
        assert problem["code"] == "precondition_failed"
    project.main_database.refresh_from_db()
    assert project.main_database.retention_days == 7
    assert program.ask("PATCH", path, body, **{"If-Match": "*"}).status_code == 200


def test_head_is_get_without_a_body(program: Program, project: Project) -> None:
    response = program.ask("HEAD", "/projects/cold-chain")
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("body", ["{", "nothing", '{"retention_days": NaN}', '"\\ud800"', "\xff"])
def test_a_body_that_is_no_json(program: Program, project: Project, body: str) -> None:
    response = program.client.patch(
        "/api/v1/projects/cold-chain/settings",
        body.encode("latin-1"),
        content_type="application/json",
        headers={"Authorization": f"Bearer {program.token}"},
    )
    assert response.status_code == 400
    assert response.json()["code"] == "unreadable"


def test_a_body_that_is_too_large_or_has_no_length(program: Program, project: Project) -> None:
    path = "/projects/cold-chain/transfers"
    program.refused(413, "POST", path, {"target": "x" * MAX_BODY_BYTES})
    program.refused(413, "POST", path, {}, **{"Content-Length": "0" * 12 + str(2 * MAX_BODY_BYTES)})
    program.refused(411, "POST", path, {}, **{"Transfer-Encoding": "chunked"})


def test_nothing_is_kept_by_caches(program: Program) -> None:
    assert program.ask("GET", "/projects")["Cache-Control"] == "no-store"


def test_a_defect_is_told_in_json(
    monkeypatch: pytest.MonkeyPatch, program: Program, project: Project
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("backups_portal.portal_api.routes.projects._project", broken)
    program.client.raise_request_exception = False
    assert program.refused(500, "GET", "/projects/cold-chain")["code"] == "defect"


def test_the_log_of_activity_says_which_token_it_was(program: Program, project: Project) -> None:
    program.ask("PATCH", "/projects/cold-chain/settings", {"backup_time": "04:30"})
    event = AuditEvent.objects.get(action="settings.changed")
    token = AccessToken.objects.get()
    assert event.details["via"] == f"API token {token.name} …{program.token[-4:]}"
    page = Client()
    page.force_login(project.created_by)
    assert (
        f"Via: {event.details['via']}"
        in page.get("/projects/cold-chain/activity/").content.decode()
    )
    page.post(
        "/projects/cold-chain/main-database/",
        {"backup_time": "05:30", "backup_time_zone": "UTC", "retention_days": "7"},
    )
    assert "via" not in AuditEvent.objects.filter(action="settings.changed").latest("pk").details
