"""Downloading a backup: for owners who have just signed in, and complete or visibly broken."""

import io
import zipfile
from collections.abc import Callable, Generator, Iterator
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import pytest
from django.core.signals import request_finished
from django.db import OperationalError, close_old_connections
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.lib.bulkhead import Bulkhead
from backups_portal.projects.access import RightLostError
from backups_portal.projects.models import Project
from snapshots.archive_download import check_download, open_download
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.errors import DownloadRefusedError
from snapshots.integrity.orphan_objects import sweep_project
from snapshots.models import Snapshot
from snapshots.retention import reader_leases
from snapshots.retention.expiry import prune_project
from snapshots.run.snapshot_run import take
from tests.factories import PASSWORD, age_sign_in, make_snapshot
from tests.projectdatabases import DEVICE

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
    addresses = AuditEvent.objects.filter(action__startswith="snapshot.download")
    assert set(addresses.values_list("address", flat=True)) == {"127.0.0.1"}


def export_url(snapshot: Snapshot, query: str = "") -> str:
    backup = f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}"
    return f"{backup}/devices/{DEVICE}/export/{query}"


def pieces_of(response: Any) -> Generator[bytes]:
    """Receive a file; closing it closes the response, as the web server does."""
    try:
        yield from response.streaming_content
    finally:
        # The signal would close the connection, and with it the test's transaction.
        request_finished.disconnect(close_old_connections)
        with patch.object(request_finished, "connect"):
            response.close()
        request_finished.connect(close_old_connections)


def zip_of(client: Client, snapshot: Snapshot) -> Generator[bytes]:
    return pieces_of(client.post(url(snapshot)))


def parquet_of(client: Client, snapshot: Snapshot) -> Generator[bytes]:
    return pieces_of(client.get(export_url(snapshot, "?format=parquet")))


def let_expire(snapshot: Snapshot, now: datetime) -> bool:
    """Run retention and the sweep a month later; return whether it is removed."""
    Snapshot.objects.filter(pk=snapshot.pk).update(taken_at=now - timedelta(days=30))
    newer = make_snapshot(snapshot.project, taken_at=now, local_date=now + timedelta(days=1))
    (pruned,) = prune_project(snapshot.project_id, now)
    newer.delete()
    sweep_project(snapshot.project_id)
    return pruned.goes


@pytest.mark.parametrize("begin", [zip_of, parquet_of])
def test_retention_waits_for_a_download_that_has_begun(
    client: Client,
    snapshot: Snapshot,
    settings: Settings,
    begin: Callable[[Client, Snapshot], Generator[bytes]],
) -> None:
    settings.ORPHAN_GRACE = timedelta()
    pieces = begin(client, snapshot)
    next(pieces)
    assert not let_expire(snapshot, timezone.now())
    assert b"".join(pieces)


def test_retention_waits_for_a_client_that_reads_slowly(
    client: Client, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_leases, "RENEWAL_SECONDS", -1)
    pieces, now = zip_of(client, snapshot), timezone.now()
    next(pieces)
    Snapshot.objects.update(read_until=now)
    next(pieces)
    assert not let_expire(snapshot, now)


def test_a_download_that_was_killed_keeps_no_backup(client: Client, snapshot: Snapshot) -> None:
    killed = zip_of(client, snapshot)
    next(killed)
    assert is_kept(snapshot)
    assert let_expire(snapshot, timezone.now() + reader_leases.LEASE)


def is_kept(snapshot: Snapshot) -> bool:
    return Snapshot.objects.get(pk=snapshot.pk).is_being_read(timezone.now())


@pytest.mark.parametrize("begin", [zip_of, parquet_of])
def test_a_download_that_has_ended_keeps_no_backup(
    client: Client, snapshot: Snapshot, begin: Callable[[Client, Snapshot], Generator[bytes]]
) -> None:
    assert b"".join(begin(client, snapshot))
    assert not is_kept(snapshot)
    broken_off = begin(client, snapshot)
    next(broken_off)
    assert is_kept(snapshot)
    broken_off.close()
    assert not is_kept(snapshot)


def test_what_was_only_asked_for_keeps_no_backup(
    client: Client, snapshot: Snapshot, stored: Storage
) -> None:
    owner = snapshot.project.created_by
    check_download(snapshot=snapshot, owners=[owner], password=PASSWORD)
    assert client.get(export_url(snapshot, "?since=never")).status_code == 400
    full = Bulkhead(running=1, waiting=0, seconds=7)
    with patch("snapshots.views.device.FILES", full):
        with full.entered():
            assert client.get(export_url(snapshot)).status_code == 503
        fault = patch("snapshots.views.device.note_export", side_effect=OperationalError)
        with fault, pytest.raises(OperationalError):
            client.get(export_url(snapshot))
        with full.entered():
            pass
    stored.delete(Manifest.load(stored, snapshot.manifest).of("variable")[0].key)
    assert client.post(url(snapshot)).status_code == 409
    assert not is_kept(snapshot)


def test_one_download_keeps_a_backup_when_another_has_ended(
    client: Client, snapshot: Snapshot
) -> None:
    first, second = zip_of(client, snapshot), parquet_of(client, snapshot)
    next(first), next(second)
    second.close()
    assert is_kept(snapshot)
    first.close()
    third, fourth = zip_of(client, snapshot), parquet_of(client, snapshot)
    next(third), next(fourth)
    third.close()
    assert is_kept(snapshot)
    fourth.close()


@pytest.mark.parametrize("renews", [False, True])
def test_downloads_that_overlap_leave_no_lease_behind(
    client: Client, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, *, renews: bool
) -> None:
    """The second ends between renewals of the first, or the first before it."""
    monkeypatch.setattr(reader_leases, "RENEWAL_SECONDS", -1)
    first, second = zip_of(client, snapshot), parquet_of(client, snapshot)
    next(first), next(second)
    if renews:
        next(first)
    second.close()
    assert is_kept(snapshot)
    first.close()
    assert not is_kept(snapshot)
    third, fourth = zip_of(client, snapshot), parquet_of(client, snapshot)
    next(third), next(fourth)
    third.close()
    fourth.close()
    assert not is_kept(snapshot)


def test_no_client_is_waited_for_longer_than_the_limit(
    client: Client, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_leases, "RENEWAL_SECONDS", -1)
    pieces = zip_of(client, snapshot)
    next(pieces)
    monkeypatch.setattr(reader_leases, "MAX_LEASE", timedelta(minutes=10))
    next(pieces)
    snapshot.refresh_from_db()
    assert not snapshot.is_being_read(timezone.now() + timedelta(minutes=10))


@pytest.mark.parametrize("begin", [zip_of, parquet_of])
@pytest.mark.parametrize("is_closed", [True, False], ids=["closed account", "lost right"])
def test_a_download_ends_within_a_minute_of_the_right_to_it(
    client: Client,
    snapshot: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
    begin: Callable[[Client, Snapshot], Generator[bytes]],
    *,
    is_closed: bool,
) -> None:
    """A slow client of a large backup would read on for hours."""
    monkeypatch.setattr(reader_leases, "RENEWAL_SECONDS", -1)
    pieces = begin(client, snapshot)
    next(pieces)
    if is_closed:
        Account.objects.update(is_active=False)
    else:
        snapshot.project.memberships.update(role="collaborator")
    with pytest.raises(RightLostError):
        next(pieces)
    assert not is_kept(snapshot)
    event = AuditEvent.objects.latest("id")
    assert (event.action, event.account_id) == (
        "snapshot.download_broken",
        snapshot.project.created_by_id,
    )
    assert event.details["reason"].endswith(("so this was stopped.", "can try again."))


def test_a_backup_that_has_just_expired_is_not_downloaded(
    snapshot: Snapshot,
) -> None:
    Snapshot.objects.update(state=Snapshot.State.EXPIRED)
    with pytest.raises(DownloadRefusedError, match="Only a stored backup"):
        open_download(snapshot=snapshot, actor=snapshot.project.created_by)


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
