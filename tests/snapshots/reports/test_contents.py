"""A backup's contents are shown by page and command without its segments."""

import json
from datetime import date
from io import StringIO

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from backups_portal.projects.database_dsn import admin_dsn
from backups_portal.projects.models import Project
from backups_portal.ui import moments
from snapshots.engine.contents_index import CELLS
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from tests.factories import make_snapshot

pytestmark = pytest.mark.django_db


@pytest.fixture
def snapshot(live_project: Project, client: Client) -> Snapshot:
    """A stored snapshot of one device with ten rows, 30 empty ones, and excluded data."""
    with psycopg.connect(admin_dsn(live_project), autocommit=True) as source:
        source.execute(
            "INSERT INTO device (id, name, type)"
            " SELECT lpad(to_hex(n), 24, '0'), 'Empty ' || n, 'mutable'"
            " FROM generate_series(1, 30) n"
        )
        source.execute("INSERT INTO analysis (id, name) VALUES (repeat('a', 24), 'Alerts')")
        source.execute(
            "INSERT INTO analysis_script SELECT repeat('a', 24), n, 'alerts.js', 'node', 'code'"
            " FROM generate_series(1, 3) n"
        )
        source.execute(
            "INSERT INTO file (path, size, md5, content) VALUES ('plan.pdf', 2048, '', 'x')"
        )
    snapshot = make_snapshot(live_project, state=Snapshot.State.QUEUED)
    take(snapshot.id)
    snapshot.refresh_from_db()
    client.force_login(live_project.created_by)
    return snapshot


@pytest.fixture
def without_segments(snapshot: Snapshot, stored: Storage) -> None:
    for segment in Manifest.load(stored, snapshot.manifest).segments:
        stored.delete(segment.key)


def read(client: Client, snapshot: Snapshot, ending: str = "") -> str:
    response = client.get(f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/{ending}")
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.usefixtures("without_segments")
def test_the_page_needs_no_segments(client: Client, snapshot: Snapshot) -> None:
    page = read(client, snapshot, "devices/?q=truck")
    day = moments.day(date(2026, 3, 1))
    for text in ("Truck", "d" * 24, f"{day}, 00:00", f"{day}, 00:09"):
        assert text in page
    assert "Empty" not in page
    page = read(client, snapshot, "left-out/")
    assert "Analysis scripts" in page
    assert "2.0\N{NO-BREAK SPACE}KiB" in page


def test_devices_are_paged_and_found(client: Client, snapshot: Snapshot) -> None:
    page = read(client, snapshot, "devices/")
    assert "25</strong> of <strong>31" in page
    assert "Truck" not in page
    assert "Truck" in read(client, snapshot, "devices/?page=2")
    found = read(client, snapshot, f"devices/?q={'1e'.zfill(24)}")
    assert "Empty 30" in found
    assert "Empty 3<" not in found
    assert "No device has “x&amp;y” in its name or ID." in read(
        client, snapshot, "devices/?q=x%26y"
    )


def test_what_is_left_out_by_name_and_size(client: Client, snapshot: Snapshot) -> None:
    page = read(client, snapshot, "left-out/")
    for text in ("Alerts: alerts.js", "3 versions", "12\N{NO-BREAK SPACE}bytes", "plan.pdf"):
        assert text in page
    assert "Alerts: alerts.js" not in read(client, snapshot, "left-out/?q=plan")


@pytest.mark.usefixtures("without_segments")
def test_the_confirmation_of_a_restore_counts_what_will_not_be_there(
    client: Client, snapshot: Snapshot
) -> None:
    page = " ".join(read(client, snapshot, "restore/").split())
    assert "(variables here: 10)" in page
    for text in ("Left out of this one:", "analysis scripts (3, 12", "uploaded files (1, 2.0"):
        assert text in page


def test_contents_that_are_lost_are_said_to_be(
    client: Client, snapshot: Snapshot, stored: Storage
) -> None:
    lost = next(
        item for item in Manifest.load(stored, snapshot.manifest).contents if item.table == CELLS
    )
    stored.delete(lost.key)
    page = read(client, snapshot, "devices/")
    assert "The devices in this backup cannot be read" in page
    assert f"The backup storage lacks {lost.key}." in page
    assert f'backups/{snapshot.pk}/restore/"' in page
    assert "What was left out cannot be read" in read(client, snapshot, "left-out/")
    with pytest.raises(CommandError, match="lacks"):
        call_command("snapshot_contents", str(snapshot.pk))


@pytest.mark.usefixtures("without_segments")
def test_the_command(snapshot: Snapshot) -> None:
    out = StringIO()
    call_command("snapshot_contents", str(snapshot.pk), stdout=out)
    for text in ("31  devices", "10     3  Truck", "Alerts: alerts.js (3 analysis scripts)"):
        assert text in out.getvalue()
    out = StringIO()
    call_command("snapshot_contents", str(snapshot.pk), "--json", stdout=out)
    document = json.loads(out.getvalue())
    assert document["table_rows"]["variable"] == 10
    (truck,) = (device for device in document["devices"] if device["name"] == "Truck")
    assert (truck["rows"], truck["variables"]) == (10, 3)
    assert {"kind": "file", "name": "plan.pdf", "count": 1, "size": 2048} in document["excluded"]


def test_the_page_reads_what_is_inside_once(
    client: Client, snapshot: Snapshot, stored: Storage
) -> None:
    first = read(client, snapshot, "devices/")
    stored.delete(snapshot.manifest)
    assert "Empty 1" in first
    assert "Empty 1" in read(client, snapshot, "devices/")


def test_what_could_not_be_read_is_asked_for_again(
    client: Client, snapshot: Snapshot, stored: Storage
) -> None:
    manifest = stored.get(snapshot.manifest)
    stored.delete(snapshot.manifest)
    assert "Empty 1" not in read(client, snapshot, "devices/")
    stored.put(snapshot.manifest, manifest)
    assert "Empty 1" in read(client, snapshot, "devices/")
