"""After the loss of the portal's own database its catalogue is rebuilt from the storage."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from backups_portal.projects import project_creation
from backups_portal.projects.models import DatabaseServer, Membership, Project
from snapshots.engine.layout import manifest_key
from snapshots.engine.storage import Storage
from snapshots.integrity.catalogue_rebuild import REBUILD_LOCK
from snapshots.integrity.verification import verify
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from snapshots.schedule.schedule_tick import queue_due
from tests.factories import make_account, make_project_row, make_snapshot
from tests.takensnapshots import prune

pytestmark = pytest.mark.django_db
OWNER = "owner@example.com"


def rebuild() -> Any:
    """Run the command; return its output."""
    out = StringIO()
    call_command("rebuild_catalogue", "--owner", OWNER, "--json", stdout=out)
    return json.loads(out.getvalue())


@pytest.fixture
def lost(live_project: Project) -> dict[str, Any]:
    """A project's description before its row was deleted; its two backups are in storage."""
    for days in (20, 0):
        moment = timezone.now() - timedelta(days=days)
        take(make_snapshot(live_project, taken_at=moment, state=Snapshot.State.QUEUED).id)
    rows = list(Snapshot.objects.order_by("local_date").values(*KEPT))
    values = {"id": live_project.id, "name": live_project.name, "rows": rows}
    Project.objects.all().delete()
    assert not Snapshot.objects.exists()
    make_account(email=OWNER)
    return values


KEPT = (
    *("id", "state", "local_date", "taken_at", "manifest", "is_full", "rows", "table_rows"),
    *("logical_bytes", "stored_bytes", "new_bytes", "postgresql_version", "schema_version"),
)


def test_backups_come_back_with_their_project_for_one_owner(lost: dict[str, Any]) -> None:
    (printed,) = rebuild()
    assert (printed["is_new"], printed["added"], printed["damaged"]) == (True, 2, {})

    project = Project.objects.get()
    assert (project.id, project.name) == (lost["id"], lost["name"])
    assert project.state == Project.State.SHUT_DOWN
    assert Membership.objects.get().account.email == OWNER
    assert list(Snapshot.objects.order_by("local_date").values(*KEPT)) == lost["rows"]
    for snapshot in Snapshot.objects.all():
        assert verify(snapshot).rows == snapshot.rows


def test_nothing_is_deleted_or_taken_because_of_it(lost: dict[str, Any]) -> None:
    rebuild()
    assert [item for item in prune(timezone.now()) if item.goes] == []
    assert queue_due(timezone.now() + timedelta(days=2)) == []


def test_a_second_run_changes_nothing(lost: dict[str, Any]) -> None:
    rebuild()
    (printed,) = rebuild()
    assert (printed["is_new"], printed["added"], printed["known"]) == (False, 0, 2)
    assert Snapshot.objects.count() == 2


def two_of_today(lost: dict[str, Any], stored: Storage) -> tuple[UUID, UUID]:
    """Give the older backup the newer one's date, like one that was replaced on its own day."""
    older, newer = lost["rows"]
    document = json.loads(stored.get(older["manifest"]))
    document["labels"]["local_date"] = newer["local_date"].isoformat()
    stored.put(older["manifest"], json.dumps(document).encode())
    return older["id"], newer["id"]


def test_a_replaced_backup_comes_back_behind_the_one_of_its_day(
    lost: dict[str, Any], stored: Storage
) -> None:
    older, newer = two_of_today(lost, stored)
    rebuild()
    today = lost["rows"][1]["local_date"]
    found = Snapshot.objects.listed().values_list("id", "local_date", "is_replaced")
    assert list(found) == [(newer, today, False), (older, today, True)]


def test_a_replaced_backup_leaves_the_date_if_only_the_other_was_forgotten(
    lost: dict[str, Any], stored: Storage
) -> None:
    older, newer = two_of_today(lost, stored)
    rebuild()
    Snapshot.objects.get(pk=newer).delete()
    now = timezone.now()
    is_bad = {"verdict": "failed", "verdict_reason": "x", "proven_at": now}
    Snapshot.objects.filter(pk=older).update(is_replaced=False, **is_bad)
    rebuild()
    assert list(Snapshot.objects.listed().values_list("id", flat=True)) == [newer, older]
    assert Snapshot.objects.get(pk=newer).local_date == lost["rows"][1]["local_date"]


def test_a_name_that_the_owner_has_already(lost: dict[str, Any]) -> None:
    owner = make_account(email="other@example.com")
    make_project_row(owner=owner, name=lost["name"].upper())
    out = StringIO()
    call_command("rebuild_catalogue", "--owner", owner.email, stdout=out)
    assert f"{lost['name']} (2) (brought back, shut down): 2 backups" in out.getvalue()


def test_another_project_takes_the_address_meanwhile(
    lost: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    free_slug = project_creation.free_slug

    def and_take(name: str) -> str:
        slug = free_slug(name)
        if not Project.objects.filter(name="Quicker").exists():
            make_project_row(name="Quicker", slug=slug)
        return slug

    monkeypatch.setattr(project_creation, "free_slug", and_take)
    rebuild()
    quicker, found = Project.objects.get(name="Quicker"), Project.objects.get(pk=lost["id"])
    assert found.slug.startswith(f"{quicker.slug}-")


def test_what_cannot_be_read_is_named_and_the_rest_comes_back(
    lost: dict[str, Any], stored: Storage
) -> None:
    first, second = (row["manifest"] for row in lost["rows"])
    stored.put(second, stored.get(second)[:-10])
    stored.put(second.replace("manifests/", "manifests/copy-of-"), stored.get(first))
    with pytest.raises(CommandError, match="2 manifests cannot be read"):
        rebuild()
    assert Snapshot.objects.get().manifest == first


def test_one_forgery_keeps_no_genuine_backup_from_coming_back(
    lost: dict[str, Any], stored: Storage
) -> None:
    """If it counted as the newest one, its prefix would become the project's."""
    genuine = json.loads(stored.get(lost["rows"][0]["manifest"]))
    for taken_at in (timezone.now(), timezone.now() + timedelta(days=40_000)):
        document = {**genuine, "snapshot_id": str(uuid4()), "prefix": "0badf00d"}
        document["taken_at"] = taken_at.isoformat()
        key = manifest_key(lost["id"], UUID(document["snapshot_id"]))
        stored.put(key, json.dumps(document).encode())
        with pytest.raises(CommandError, match="1 manifest"):
            rebuild()
        assert list(Snapshot.objects.order_by("local_date").values(*KEPT)) == lost["rows"]
        Project.objects.all().delete()
        stored.delete(key)


def test_no_backup_comes_back_that_is_of_the_future(lost: dict[str, Any], stored: Storage) -> None:
    """It would remain the newest good one, and retention would remove all others."""
    document = json.loads(stored.get(lost["rows"][1]["manifest"]))
    document["snapshot_id"] = str(uuid4())
    document["taken_at"] = (timezone.now() + timedelta(days=3)).isoformat()
    key = manifest_key(lost["id"], UUID(document["snapshot_id"]))
    stored.put(key, json.dumps(document).encode())
    with pytest.raises(CommandError, match="1 manifest"):
        rebuild()
    assert Snapshot.objects.count() == 2


@pytest.mark.parametrize("label", ["\u200b", "a\u202eb", "a\nb"])
def test_a_name_that_nobody_could_give_is_not_brought_back(
    lost: dict[str, Any], stored: Storage, label: str
) -> None:
    for row in lost["rows"]:
        document = json.loads(stored.get(row["manifest"]))
        document["labels"]["project"] = label
        stored.put(row["manifest"], json.dumps(document).encode())
    rebuild()
    project = Project.objects.get()
    assert project.name == f"Project {project.prefix}"


def test_a_second_rebuild_at_the_same_time_is_refused(lost: dict[str, Any]) -> None:
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [REBUILD_LOCK])
        with pytest.raises(CommandError, match=r"^The catalogue is already being rebuilt\.$"):
            rebuild()
        # The server notices the end of a session a little later.
        other.execute("SELECT pg_advisory_unlock(%s)", [REBUILD_LOCK])
    assert not Project.objects.exists()
    assert rebuild()[0]["added"] == 2


def test_no_server_that_could_take_the_projects(lost: dict[str, Any]) -> None:
    DatabaseServer.objects.update(is_open=False)
    with pytest.raises(CommandError, match=r"^No database server is accepting new projects"):
        rebuild()
    assert not Project.objects.exists()


def test_an_owner_that_nobody_knows(lost: dict[str, Any]) -> None:
    with pytest.raises(CommandError, match="There is no account"):
        call_command("rebuild_catalogue", "--owner", "nobody@example.com")
    assert not Project.objects.exists()
