"""Backups through the API, which a token alone does not open."""

import pytest
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import Membership, Project
from backups_portal.tagoio_api.files.signed_urls import sign_path
from backups_portal.tagoio_api.routes import backups
from snapshots.archive_download import Download
from tests.factories import PASSWORD, make_account, make_membership, make_snapshot
from tests.projectdatabases import Connection
from tests.tagoio_api.conftest import Api


def test_a_password_is_guessed_ten_times_and_no_more(api: Api, project: Project) -> None:
    backup = make_snapshot(project)
    path = f"/profile/current/backup/{backup.pk.hex[:24]}/download"
    answers = [api.call("POST", path, {"password": f"guess {n}"})[0] for n in range(12)]
    assert answers == [401] * 10 + [429] * 2
    # Even the right one is refused then, and an attack does not fill the audit log.
    assert api.call("POST", path, {"password": PASSWORD})[0] == 429
    assert AuditEvent.objects.filter(action="snapshot.download_refused").count() == 10
    assert AuditEvent.objects.filter(action="session.locked").count() == 1


def test_the_password_of_any_owner_will_do(api: Api, project: Project) -> None:
    second = make_account()
    second.set_password("of the second owner")
    second.save(update_fields=["password"])
    make_membership(project, second, Membership.Role.OWNER)
    backup = make_snapshot(project)
    path = f"/profile/current/backup/{backup.pk.hex[:24]}/download"
    # Its objects are missing, which is reported only after the right password.
    answers = [api.call("POST", path, {"password": "of the second owner"})[0] for _ in range(12)]
    assert answers == [409] * 12
    refused = AuditEvent.objects.filter(action="snapshot.download_refused")
    assert set(refused.values_list("account_id", flat=True)) == {second.pk}


def test_where_passwords_are_off_none_is_good_for_a_backup(
    api: Api, project: Project, settings: Settings
) -> None:
    settings.PASSWORD_SIGN_IN = False
    path = f"/profile/current/backup/{make_snapshot(project).pk.hex[:24]}/download"
    refused = (403, "Passwords are turned off: download the backup at the portal")
    assert api.call("POST", path, {"password": PASSWORD}) == refused


@pytest.mark.parametrize("lost", ["membership", "account", "token", "nothing"])
def test_an_address_opens_nothing_once_the_right_to_it_was_lost(
    api: Api, project: Project, database: Connection, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    backup = make_snapshot(project)
    content = iter([b"content"])
    monkeypatch.setattr(backups, "check_download", lambda **_: project.created_by)
    monkeypatch.setattr(backups, "fetch_download", lambda **_: Download("a.zip", content))
    path = f"/profile/current/backup/{backup.pk.hex[:24]}/download"
    address = api.post(path, {"password": PASSWORD})["url"]
    if lost == "membership":
        Membership.objects.all().delete()
    elif lost == "account":
        Account.objects.update(is_active=False)
    elif lost == "token":
        database.execute("DELETE FROM token")
    assert api.client.get(address).status_code == (200 if lost == "nothing" else 403)


def test_an_address_opens_a_backup_once(
    api: Api, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = make_snapshot(project)
    monkeypatch.setattr(
        backups, "fetch_download", lambda **_: Download("a.zip", iter([b"content"]))
    )
    claim = {"s": backup.pk.hex, "a": project.created_by.pk}
    path = f"/backups/{sign_path(backups.PURPOSE, claim)}"
    # HEAD requests, which scanners of links send, use nothing up.
    assert api.client.head(path).status_code == 405
    assert b"".join(api.client.get(path).streaming_content) == b"content"
    assert api.call("GET", path) == (410, "This address was used: ask for a new one")
