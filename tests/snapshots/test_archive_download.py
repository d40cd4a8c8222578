"""Downloading a backup: for owners who know their password, and whole or visibly broken."""

import io
import zipfile
from collections.abc import Iterator

import pytest
from django.test import Client

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import Project
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from tests.factories import PASSWORD, make_snapshot

pytestmark = pytest.mark.django_db


@pytest.fixture
def snapshot(live_project: Project, client: Client) -> Snapshot:
    client.force_login(live_project.created_by)
    snapshot = make_snapshot(live_project, state=Snapshot.State.QUEUED)
    take(snapshot.id)
    snapshot.refresh_from_db()
    return snapshot


def url(snapshot: Snapshot) -> str:
    return f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/download/"


def events() -> list[str]:
    found = AuditEvent.objects.filter(action__startswith="snapshot.download").order_by("id")
    return [event.action for event in found]


def received(pieces: Iterator[bytes]) -> io.BytesIO:
    return io.BytesIO(b"".join(pieces))


def test_with_the_password(client: Client, snapshot: Snapshot) -> None:
    page = client.get(url(snapshot)).content.decode()
    assert "Your password" in page
    response = client.post(url(snapshot), {"password": PASSWORD})
    assert response.status_code == 200
    assert response["Content-Type"] == "application/zip"
    name = f"{snapshot.project.slug}-{snapshot.taken_at:%Y-%m-%d}.zip"
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    assert response["Cache-Control"] == "no-store"
    assert response.streaming
    archive = zipfile.ZipFile(received(response.streaming_content))
    assert archive.testzip() is None
    assert f"# {snapshot.project.name}: backup of" in archive.read("README.md").decode()
    assert events() == ["snapshot.downloaded"]
    event = AuditEvent.objects.get(action="snapshot.downloaded")
    assert (event.account_id, event.address) == (snapshot.project.created_by_id, "127.0.0.1")


@pytest.mark.parametrize(
    ("password", "message"),
    [("wrong", "Wrong password."), ("", "Enter your password.")],
)
def test_without_it_nothing_is_downloaded(
    client: Client, snapshot: Snapshot, password: str, message: str
) -> None:
    response = client.post(url(snapshot), {"password": password})
    assert response.status_code == 400
    assert message in response.content.decode()
    assert events() == (["snapshot.download_refused"] if password else [])


def test_passwords_are_guessed_five_times_and_no_more(client: Client, snapshot: Snapshot) -> None:
    answers = [client.post(url(snapshot), {"password": f"guess {n}"}) for n in range(6)]
    assert [answer.status_code for answer in answers] == [400] * 5 + [429]
    assert "Try again in" in answers[5].content.decode()
    assert client.post(url(snapshot), {"password": PASSWORD}).status_code == 429
    # Nor is there another page to go on at.
    again = client.post("/account/password-again/", {"password": PASSWORD})
    assert again.status_code == 429
    assert events() == ["snapshot.download_refused"] * 5
    assert AuditEvent.objects.filter(action="session.locked").count() == 1


def test_the_right_password_forgives_the_wrong_ones(client: Client, snapshot: Snapshot) -> None:
    for password in ("wrong", "wrong", "wrong", "wrong", PASSWORD) * 2:
        answer = client.post(url(snapshot), {"password": password})
        assert answer.status_code == (200 if password == PASSWORD else 400)


def test_a_collaborators_session_is_no_owners(client: Client, snapshot: Snapshot) -> None:
    snapshot.project.memberships.update(role="collaborator")
    assert client.post(url(snapshot), {"password": PASSWORD}).status_code == 403
    assert events() == []


def test_what_storage_lacks_is_said_before_it_begins(
    client: Client, snapshot: Snapshot, stored: Storage
) -> None:
    key = Manifest.load(stored, snapshot.manifest).of("variable")[0].key
    stored.delete(key)
    response = client.post(url(snapshot), {"password": PASSWORD})
    assert response.status_code == 409
    assert f"The backup storage lacks {key}." in response.content.decode()
    assert events() == ["snapshot.download_refused"]


def test_a_damaged_part_breaks_the_download_off(
    client: Client, snapshot: Snapshot, stored: Storage
) -> None:
    key = Manifest.load(stored, snapshot.manifest).of("variable")[0].key
    content = bytearray(stored.get(key))
    content[len(content) // 2] ^= 1
    stored.put(key, bytes(content))
    response = client.post(url(snapshot), {"password": PASSWORD})
    with pytest.raises(Exception, match="was changed in storage"):
        received(response.streaming_content)
    assert events() == ["snapshot.downloaded", "snapshot.download_broken"]


@pytest.mark.parametrize("state", ["queued", "failed", "expired"])
def test_only_stored_backups_are_downloaded(
    client: Client, live_project: Project, state: str
) -> None:
    client.force_login(live_project.created_by)
    snapshot = make_snapshot(live_project, state=state)
    assert client.get(url(snapshot)).status_code == 409
    response = client.post(url(snapshot), {"password": PASSWORD})
    assert response.status_code == 409
    assert "Only a stored backup can be downloaded." in response.content.decode()


def test_the_backup_of_a_project_that_was_shut_down(client: Client, snapshot: Snapshot) -> None:
    Project.objects.filter(pk=snapshot.project_id).update(state=Project.State.SHUT_DOWN)
    response = client.post(url(snapshot), {"password": PASSWORD})
    assert zipfile.is_zipfile(received(response.streaming_content))
