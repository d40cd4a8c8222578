"""Backups, proofs and restores continue after a project's time zone was withdrawn."""

import io
from datetime import timedelta
from zoneinfo import available_timezones

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.lib.timezones import zone_names, zone_of
from backups_portal.projects.models import MainDatabase, Project
from restores.models import Proof, Restore
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from snapshots.schedule.schedule_tick import queue_due
from tests.factories import make_snapshot, make_token
from tests.restores.test_proof_run import prove
from tests.restores.test_restore_run import ask, run

ZONES = ["Asia/Hanoi", "localtime"]


@pytest.fixture(params=ZONES)
def _given_up(project: Project, request: pytest.FixtureRequest) -> None:
    MainDatabase.objects.update(backup_time_zone=request.param)


def test_only_zones_of_the_package_are_known() -> None:
    assert not set(ZONES) & zone_names()
    assert {"UTC", "Europe/Berlin", "Asia/Calcutta", "America/Argentina/Ushuaia"} <= zone_names()
    assert len(zone_names() - available_timezones()) < 10
    for name in zone_names():
        assert zone_of(name).key == name
    assert zone_of("Asia/Hanoi").key == zone_of("../zones").key == zone_of("").key == "UTC"


@pytest.mark.usefixtures("_given_up")
def test_from_the_schedule_to_the_restored_project(project: Project, owner: Account) -> None:
    due = timezone.now().replace(hour=3, minute=0, second=30, microsecond=0) + timedelta(days=1)
    MainDatabase.objects.update(next_snapshot_at=due - timedelta(seconds=30))
    (queued,) = queue_due(due)
    take(queued)
    snapshot = Snapshot.objects.get(pk=queued)
    assert snapshot.state == Snapshot.State.COMPLETED, snapshot.reason
    # 03:00 UTC.
    assert (snapshot.scheduled_for, snapshot.local_date) == (
        due.replace(second=0),
        due.date(),
    )
    assert prove(snapshot).state == Proof.State.PASSED
    restore = run(ask(snapshot, owner))
    assert restore.state == Restore.State.COMPLETED, restore.reason
    main = MainDatabase.objects.get(pk=restore.project_id)
    assert f"{main.next_snapshot_at:%H:%M}" == "03:00"


@pytest.mark.usefixtures("_given_up")
def test_a_backup_that_fails_says_why(project: Project, settings: Settings) -> None:
    settings.SNAPSHOT_RETRY_MINUTES = [0]
    Project.objects.update(database="nowhere")
    snapshot = make_snapshot(project, state=Snapshot.State.QUEUED)
    take(snapshot.pk)
    snapshot.refresh_from_db()
    assert snapshot.state == Snapshot.State.QUEUED
    assert "could not be read" in snapshot.reason


@pytest.mark.usefixtures("_given_up")
def test_the_portals_api_goes_on(snapshot: Snapshot, owner: Account) -> None:
    headers = {"Authorization": f"Bearer {make_token(owner)}"}
    path = f"/api/v1/projects/{snapshot.project.slug}"
    client = Client()
    assert client.get(f"{path}/backups/{snapshot.pk}/quote", headers=headers).status_code == 200
    changed = client.patch(
        f"{path}/settings", '{"retention_days": 11}', "application/json", headers=headers
    )
    assert changed.status_code == 200, changed.content
    assert changed.json()["retention_days"] == 11


@pytest.mark.parametrize("zone", ZONES)
def test_no_new_project_gets_one(owner: Account, zone: str) -> None:
    with pytest.raises(CommandError, match="is not a time zone"):
        call_command(
            "create_project", "Cold", owner=owner.email, time_zone=zone, stdout=io.StringIO()
        )
