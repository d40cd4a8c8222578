"""Signing in through the API, and the tokens that owners create with their password."""

import base64
import json
import os
import time
from types import ModuleType
from typing import Any, ClassVar

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import encrypt
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import OperationalError
from psycopg import Connection
from pytest_django import Settings

from backups_portal.accounts.second_factor import spend_app_code
from backups_portal.accounts.sign_in_limits import take_sign_in
from backups_portal.audit.models import AuditEvent
from backups_portal.lib.client_address import asked_from
from backups_portal.projects.models import Membership, Project
from backups_portal.projects.permission_mixins import REFUSED
from backups_portal.tagoio_api.routes import accounts, profile_tokens
from tests.factories import PASSWORD, make_account, make_membership
from tests.tagoio_api.conftest import Api, api_of

WRONG = (401, "Invalid E-mail or Password")
BUSY = (429, "Too many attempts. Try again in 15 minutes.")


def who(project: Project, password: str = PASSWORD) -> dict[str, str]:
    return {"email": project.created_by.email, "password": password}


class NotingHasher(MD5PasswordHasher):
    """A fast hasher that records the passwords it was given."""

    seen: ClassVar[list[str]] = []

    def encode(self, password: str, salt: str) -> str:
        self.seen.append(password)
        return super().encode(password, salt)


@pytest.fixture
def hashed(project: Project, settings: Settings) -> list[str]:
    """Record the passwords that are hashed from now on."""
    settings.PASSWORD_HASHERS = [f"{__name__}.NotingHasher", *settings.PASSWORD_HASHERS]
    project.created_by.set_password(PASSWORD)
    project.created_by.save(update_fields=["password"])
    return NotingHasher.seen


def test_somebody_who_is_wrong_too_often_has_to_wait(
    api: Api, project: Project, hashed: list[str]
) -> None:
    login = "/account/login"
    for _ in range(3):
        for _ in range(4):
            assert api.call("POST", login, who(project, "wrong")) == WRONG
        # A right password resets the counter.
        assert api.call("POST", login, who(project))[0] == 200
    for _ in range(5):
        assert api.call("POST", login, who(project, "wrong")) == WRONG
    before = len(hashed)
    for email in (project.created_by.email, project.created_by.email.upper()):
        assert api.call("POST", login, {"email": email, "password": PASSWORD}) == BUSY
    assert len(hashed) == before, "nothing was looked at"
    locked = AuditEvent.objects.get(action="session.locked")
    assert (locked.subject, locked.address) == (project.created_by.email, "127.0.0.1")
    # No other way in is open, here or at the portal.
    body = who(project)
    token = {**body, "profile_id": project.profile_id}
    assert api.call("POST", "/account/profile/token", token) == BUSY
    assert api.call("POST", f"/profile/{project.profile_id}/token", body) == BUSY
    with asked_from("127.0.0.1"):
        assert take_sign_in(project.created_by.email) > 0
    # Other accounts are not affected.
    other = {"email": make_account().email, "password": PASSWORD}
    assert api.call("POST", login, other)[0] == 200
    assert AuditEvent.objects.filter(action="session.refused").count() == 17


def test_who_has_to_wait_is_told_for_how_long(api: Api, project: Project) -> None:
    for _ in range(6):
        response = api.client.post(
            "/account/login", who(project, "x"), content_type="application/json"
        )
    assert response.status_code == 429
    assert 0 < int(response["Retry-After"]) <= 15 * 60


def test_many_addresses_guess_no_faster(api: Api, project: Project, hashed: list[str]) -> None:
    answers = [
        api.client.post(
            "/account/login",
            who(project, "wrong"),
            content_type="application/json",
            REMOTE_ADDR=f"192.0.2.{number}",
        ).status_code
        for number in range(60)
    ]
    assert answers == [401] * 50 + [429] * 10


def test_nobody_learns_whether_there_is_an_account(api: Api, project: Project) -> None:
    stranger = {"email": "nobody@example.com", "password": PASSWORD}
    assert api.call("POST", "/account/login", stranger) == WRONG
    project.created_by.is_active = False
    project.created_by.save(update_fields=["is_active"])
    assert api.call("POST", "/account/login", who(project)) == WRONG
    assert api.call("POST", "/account/login", {"email": "a\0b", "password": "x"}) == WRONG


def test_signing_in_lists_running_projects_only(
    api: Api, project: Project, other_project: Project
) -> None:
    make_membership(other_project, project.created_by)
    other_project.state = Project.State.SHUT_DOWN
    other_project.save(update_fields=["state"])
    profiles = api.post("/account/login", who(project))["profiles"]
    assert [one["id"] for one in profiles] == [project.profile_id]


@pytest.mark.parametrize(
    ("path", "routes", "step"),
    [
        ("/account/profile/token", accounts, "borrow"),
        ("/profile/{}/token", profile_tokens, "parse_expiry"),
    ],
)
def test_who_is_removed_while_it_is_waited_for_gets_no_token(
    api: Api,
    project: Project,
    database: Connection,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    routes: ModuleType,
    step: str,
) -> None:
    """A connection to a busy database is waited for after the access check."""
    done = getattr(routes, step)

    def removed_meanwhile(*arguments: Any) -> Any:
        Membership.objects.filter(project=project).delete()
        return done(*arguments)

    monkeypatch.setattr(routes, step, removed_meanwhile)
    body = {**who(project), "profile_id": project.profile_id}
    refused = (403, "Only the owners of a project can make tokens for it")
    assert api.call("POST", path.format(project.profile_id), body) == refused
    made = "SELECT count(*) FROM token WHERE name LIKE 'Generated%'"
    assert database.execute(made).fetchone() == (0,)


def test_an_owner_makes_lists_and_revokes_profile_tokens(api: Api, project: Project) -> None:
    path = f"/profile/{project.profile_id}/token"
    body = {**who(project), "name": "Script", "permission": "read", "expire_time": "1 day"}
    made = api.post(path, body)
    listed = {token["name"]: token for token in api.get(path)}
    assert listed["Script"]["permission"] == "read"
    # Its value was shown once.
    assert listed["Script"]["token"] == f"p-…{made['token'][-4:]}"
    reader = Api(made["token"], api.client)
    assert reader.get("/device") == []
    assert reader.call("DELETE", f"{path}/{made['token']}")[0] == 401
    assert api.delete(f"{path}/{made['token']}") == "Token Successfully Removed"
    assert reader.call("GET", "/device")[0] == 401
    assert api.call("DELETE", f"{path}/{made['token']}") == (404, "Token Not Found")
    assert {*AuditEvent.objects.values_list("action", flat=True)} >= {
        *("token.created", "token.revoked")
    }


def test_what_the_log_cannot_tell_of_is_not_done(
    api: Api, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/profile/{project.profile_id}/token"
    made = api.post(path, {**who(project), "name": "Script"})
    before = api.get(path)

    def fail(**_: object) -> None:
        raise OperationalError

    with monkeypatch.context() as patched:
        patched.setattr(AuditEvent.objects, "create", fail)
        assert api.call("POST", path, {**who(project), "name": "Another"})[0] == 503
        assert api.call("DELETE", f"{path}/{made['token']}")[0] == 503
    assert {one["id"] for one in api.get(path)} == {one["id"] for one in before}


def test_who_is_no_owner_makes_no_token(api: Api, project: Project, other_project: Project) -> None:
    collaborator, stranger = make_account(), make_account()
    make_membership(project, collaborator, Membership.Role.COLLABORATOR)
    body = {"profile_id": project.profile_id, "password": PASSWORD}
    own = f"/profile/{project.profile_id}/token"
    for person, status in ((collaborator, 403), (stranger, 404)):
        sent = {**body, "email": person.email}
        assert api.call("POST", "/account/profile/token", sent)[0] == status
        assert api.call("POST", own, sent)[0] == 403
    refused = AuditEvent.objects.filter(action="access.refused", project_id=project.pk)
    assert set(refused.values_list("account_id", "subject")) == {
        (collaborator.pk, "POST /account/profile/token"),
        (collaborator.pk, f"POST {own}"),
        (stranger.pk, f"POST {own}"),
    }
    for _ in range(REFUSED.tries):
        assert api.call("POST", own, {**body, "email": stranger.email})[0] == 403
    assert refused.filter(account_id=stranger.pk).count() == REFUSED.tries
    # A token does not reach another project's either.
    assert api_of(other_project).call("GET", own) == (404, "Profile Not Found")
    assert api.call("PUT", "/account", {"name": "x"})[0] == 403


def test_a_profile_is_edited_but_for_its_name(api: Api, project: Project) -> None:
    api.put("/profile/current", {"logo_url": "https://example.com/a.png", "colour": "red"})
    info = api.get("/profile/current")["info"]
    assert info["logo_url"] == "https://example.com/a.png"
    assert "colour" not in info
    # Sent back as it was read.
    api.put(f"/profile/{project.profile_id}", {**info, "logo_url": None})
    assert api.get("/profile/current")["info"]["logo_url"] is None
    assert api.call("PUT", "/profile/current", {"name": "Other"})[0] == 400


class TestAnAccountWithCodes:
    @pytest.fixture
    def secret(self, project: Project) -> str:
        """Return the key in the owner's app."""
        secret = base64.b32encode(os.urandom(20)).decode()
        Authenticator.objects.create(
            user=project.created_by, type="totp", data={"secret": encrypt(secret)}
        )
        return secret

    def code(self, secret: str) -> str:
        totp = TOTP(base64.b32decode(secret), 6, SHA1(), 30)  # noqa: S303
        return totp.generate(int(time.time())).decode()

    def test_a_client_is_told_to_ask_for_a_code(
        self, api: Api, project: Project, secret: str
    ) -> None:
        refused = api.call("POST", "/account/login", who(project))
        assert refused[0] == 400
        assert json.loads(refused[1])["otp_enabled"] == ["authenticator"]
        wrong = {**who(project), "pin_code": "000000", "otp_type": "authenticator"}
        assert api.call("POST", "/account/login", wrong)[0] == 401

    def test_codes_are_guessed_five_times_and_no_more(
        self, api: Api, project: Project, secret: str
    ) -> None:
        wrong = f"{(int(self.code(secret)) + 1) % 1_000_000:06}"
        answers = [
            api.call("POST", "/account/login", {**who(project), "pin_code": wrong})[0]
            for _ in range(7)
        ]
        assert answers == [401] * 5 + [429] * 2
        right = {**who(project), "pin_code": self.code(secret)}
        assert api.call("POST", "/account/login", right) == BUSY
        assert AuditEvent.objects.filter(action="session.code_refused").count() == 5

    def test_one_code_signs_in_and_makes_one_token(
        self, api: Api, project: Project, secret: str
    ) -> None:
        proof = {**who(project), "pin_code": self.code(secret), "otp_type": "authenticator"}
        (found,) = api.post("/account/login", proof)["profiles"]
        wish = {**proof, "profile_id": found["id"]}
        assert api.post("/account/profile/token", wish)["token"]
        assert api.call("POST", "/account/profile/token", wish)[0] == 401

    def test_one_code_looks_at_the_profiles_first(
        self, api: Api, project: Project, secret: str
    ) -> None:
        proof = {**who(project), "pin_code": self.code(secret), "otp_type": "authenticator"}
        for _ in range(2):
            assert api.call("POST", "/account/login", proof)[0] == 200
        wish = {**proof, "profile_id": project.profile_id}
        assert api.call("POST", "/account/profile/token", wish)[0] == 200
        assert api.call("POST", "/account/login", proof)[0] == 401

    def test_a_code_used_at_the_portal_makes_no_token(
        self, api: Api, project: Project, secret: str
    ) -> None:
        code = self.code(secret)
        assert spend_app_code(project.created_by, code)
        wish = {**who(project), "pin_code": code, "profile_id": project.profile_id}
        assert api.call("POST", "/account/profile/token", wish)[0] == 401


def test_a_passkey_is_a_second_factor_that_clients_do_not_have(api: Api, project: Project) -> None:
    Authenticator.objects.create(user=project.created_by, type="webauthn", data={})
    assert api.call("POST", "/account/login", who(project))[0] == 400
    for code in ("000000", "123456"):
        proof = {**who(project), "pin_code": code}
        assert api.call("POST", "/account/login", proof)[0] == 401


def test_without_passwords_there_is_no_way_in(
    api: Api, project: Project, settings: Settings
) -> None:
    settings.PASSWORD_SIGN_IN = False
    status, reason = api.call("POST", "/account/login", who(project))
    assert (status, "make a token at the portal" in reason) == (403, True)
