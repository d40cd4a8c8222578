"""A backup that is much smaller than its predecessors says so."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import Project
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from snapshots.reports.anomaly import Size, smallness
from snapshots.run.snapshot_run import take
from snapshots.storages.configured_storages import snapshot_storage
from snapshots.storages.storage_marker import CONTENT, MARKER
from tests.factories import make_snapshot


def sizes(*rows: int, row_bytes: int = 100) -> list[Size]:
    return [Size(count, count * row_bytes) for count in rows]


@pytest.mark.parametrize(
    ("size", "earlier", "words"),
    [
        (Size(0, 0), sizes(5), "no rows"),
        (Size(0, 0), sizes(900, 1000, 1100), "have 1,000"),
        (Size(333, 33_300), sizes(1000), "333 rows"),
        (Size(1, 100), sizes(1000), "1 row;"),
        # A single small day does not change the usual size.
        (Size(10, 1000), sizes(1000, 10, 1000), "10 rows"),
        (Size(1000, 33_000), sizes(1000), "33% as large"),
    ],
)
def test_what_is_unusually_small(size: Size, earlier: list[Size], words: str) -> None:
    assert words in smallness(size, earlier)


@pytest.mark.parametrize(
    ("size", "earlier"),
    [
        (Size(0, 0), []),
        (Size(0, 0), sizes(0, 0)),
        (Size(334, 33_400), sizes(1000)),
        (Size(2000, 200_000), sizes(1000)),
        # After a while the small size is usual.
        (Size(10, 1000), sizes(10, 10, 10, 10, 1000, 1000, 1000)),
    ],
)
def test_what_is_not(size: Size, earlier: list[Size]) -> None:
    assert smallness(size, earlier) == ""


def earlier_backups(project: Project, rows: int, size: int) -> None:
    for days in range(1, 4):
        make_snapshot(
            project, taken_at=timezone.now() - timedelta(days=days), rows=rows, logical_bytes=size
        )


def taken(project: Project) -> Snapshot:
    # The earlier ones are rows only, and yet this is the right storage.
    snapshot_storage().put_stored(MARKER, CONTENT)
    snapshot = make_snapshot(project, state="queued")
    take(snapshot.pk)
    snapshot.refresh_from_db()
    assert snapshot.state == "completed", snapshot.reason
    return snapshot


@pytest.mark.django_db
class TestTaking:
    """`live_project` has a device with ten readings."""

    def test_it_is_said_on_the_pages_and_recorded(
        self, live_project: Project, stored: Storage, client: Client
    ) -> None:
        earlier_backups(live_project, 1_000, 200_000)
        snapshot = taken(live_project)
        assert f"It has {snapshot.rows} rows; those before it have 1,000" in snapshot.size_note
        event = AuditEvent.objects.get(action="snapshot.size_anomaly")
        assert event.details == {"snapshot": str(snapshot.pk), "reason": snapshot.size_note}
        client.force_login(live_project.created_by)
        page = f"/projects/{live_project.slug}/backups/"
        listed = client.get(page).content.decode()
        assert listed.count("Unusually small") == 1
        assert snapshot.size_note in listed
        shown = client.get(f"{page}{snapshot.pk}/").content.decode()
        assert "This backup is unusually small" in shown

    def test_an_ordinary_one_says_nothing(
        self, live_project: Project, stored: Storage, client: Client
    ) -> None:
        earlier_backups(live_project, 11, 100)
        assert taken(live_project).size_note == ""
        assert not AuditEvent.objects.filter(action="snapshot.size_anomaly").exists()

    def test_those_that_failed_their_proof_are_no_measure(
        self, live_project: Project, stored: Storage
    ) -> None:
        earlier_backups(live_project, 1_000, 200_000)
        Snapshot.objects.update(
            verdict="failed", verdict_reason="It differs.", proven_at=timezone.now()
        )
        assert taken(live_project).size_note == ""
