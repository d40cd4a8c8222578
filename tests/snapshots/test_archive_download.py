"""Downloading a backup: for owners who have just signed in, and whole or visibly broken."""

import io
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.test import Client

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import Project
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from tests.factories import PASSWORD, age_sign_in, make_snapshot

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


def test_who_has_just_signed_in_gets_it(client: Client, snapshot: Snapshot) -> None:
    assert "all of the project" in client.get(url(snapshot)).content.decode()
    response = client.post(url(snapshot))
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


@pytest.mark.parametrize(("method", "minutes"), [("get", 16), ("post", 61)])
def test_a_browser_left_open_is_asked_who_it_is(
    client: Client, snapshot: Snapshot, method: str, minutes: int
) -> None:
    age_sign_in(client, timedelta(minutes=minutes))
    asked = getattr(client, method)(url(snapshot))
    assert asked["Location"] == f"/account/password-again/?next={quote(url(snapshot), safe='')}"
    assert events() == []
    form = {"password": PASSWORD, "next": url(snapshot)}
    assert client.post("/account/password-again/", form)["Location"] == url(snapshot)
    assert client.post(url(snapshot)).streaming


def test_a_collaborators_session_is_no_owners(client: Client, snapshot: Snapshot) -> None:
    snapshot.project.memberships.update(role="collaborator")
    assert client.post(url(snapshot)).status_code == 403
    assert events() == []


def test_what_storage_lacks_is_said_before_it_begins(
    client: Client, snapshot: Snapshot, stored: Storage
) -> None:
    key = Manifest.load(stored, snapshot.manifest).of("variable")[0].key
    stored.delete(key)
    response = client.post(url(snapshot))
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
    response = client.post(url(snapshot))
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
    response = client.post(url(snapshot))
    assert response.status_code == 409
    assert "Only a stored backup can be downloaded." in response.content.decode()


def test_the_backup_of_a_project_that_was_shut_down(client: Client, snapshot: Snapshot) -> None:
    Project.objects.filter(pk=snapshot.project_id).update(state=Project.State.SHUT_DOWN)
    response = client.post(url(snapshot))
    assert zipfile.is_zipfile(received(response.streaming_content))
