"""The command that exports a device's records from a backup."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import Project
from backups_portal.transfers.csv_files.csv_import_export import export_csv
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from snapshots.reports import device_reading
from tests.projectdatabases import DEVICE
from tests.takensnapshots import taken

pytestmark = pytest.mark.django_db


@pytest.fixture
def snapshot(live_project: Project) -> Snapshot:
    device_reading._recalled.cache_clear()
    return taken(live_project)


def run(snapshot: Snapshot, *arguments: str, device: str = DEVICE) -> None:
    call_command("snapshot_records", str(snapshot.pk), device, *arguments)


def test_csv_and_parquet(
    snapshot: Snapshot, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    owner = snapshot.project.created_by
    run(snapshot)
    whole = "".join(export_csv(snapshot.project, DEVICE, actor=owner))
    assert capfdbinary.readouterr().out.decode() == whole
    file = tmp_path / "truck.parquet"
    period = ("--since", "2026-03-01T00:05", "--until", "2026-03-01T01:07+01:00")
    run(snapshot, "--format", "parquet", "--output", str(file), *period)
    assert pq.read_table(file)["number"].to_pylist() == [0.625, 0.75]
    events = AuditEvent.objects.filter(action="snapshot.device_exported")
    assert events.filter(details__via="command").count() == 2


def test_what_is_refused(snapshot: Snapshot, tmp_path: Path, stored: Storage) -> None:
    with pytest.raises(CommandError, match="no device"):
        run(snapshot, device="e" * 24)
    with pytest.raises(CommandError, match="no variable wind"):
        run(snapshot, "--variable", "wind")
    taken_name = tmp_path / "there.csv"
    taken_name.write_text("mine")
    with pytest.raises(CommandError, match="is there already"):
        run(snapshot, "--output", str(taken_name))
    assert taken_name.read_text() == "mine"
    for segment in Manifest.load(stored, snapshot.manifest).of("variable"):
        stored.delete(segment.key)
    lost = tmp_path / "lost.csv"
    with pytest.raises(CommandError, match="missing in storage"):
        run(snapshot, "--output", str(lost))
    assert not lost.exists()
