"""Backups through the API: what a token alone does not open."""

import pytest

from backups_portal.api.routes import backups
from backups_portal.api.signed import sign_path
from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import Membership, Project
from snapshots.downloading import Download
from tests.api.conftest import Api
from tests.factories import PASSWORD, make_account, make_membership, make_snapshot


def test_a_password_is_guessed_ten_times_and_no_more(api: Api, project: Project) -> None:
    backup = make_snapshot(project)
    path = f"/profile/current/backup/{backup.pk.hex[:24]}/download"
    answers = [api.call("POST", path, {"password": f"guess {n}"})[0] for n in range(12)]
    assert answers == [401] * 10 + [429] * 2
    # The right one is found out no faster, and an attack does not fill the audit log.
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
    # Its objects are not there, which is said to who has given the right password.
    answers = [api.call("POST", path, {"password": "of the second owner"})[0] for _ in range(12)]
    assert answers == [409] * 12
    refused = AuditEvent.objects.filter(action="snapshot.download_refused")
    assert set(refused.values_list("account_id", flat=True)) == {second.pk}


def test_an_address_opens_a_backup_once(
    api: Api, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = make_snapshot(project)
    monkeypatch.setattr(
        backups, "fetch_download", lambda **_: Download("a.zip", iter([b"content"]))
    )
    claim = {"s": backup.pk.hex, "a": project.created_by.pk}
    path = f"/backups/{sign_path(backups.PURPOSE, claim)}"
    assert b"".join(api.client.get(path).streaming_content) == b"content"
    assert api.call("GET", path) == (410, "This address was used: ask for a new one")
