"""Programs read the records of a device inside a backup page by page."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from pytest_django import Settings

from backups_portal.audit.models import AuditEvent
from backups_portal.lib.bulkhead import Bulkhead
from backups_portal.projects.database_dsn import admin_dsn
from backups_portal.projects.models import Project
from restores.models import Check
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from snapshots.reports import device_reading
from tests import factories
from tests.conftest import database_of_this_test
from tests.contract.server import running
from tests.manual.pages import fence
from tests.portal_api.conftest import Program
from tests.projectdatabases import DEVICE
from tests.snapshots.conftest import live_project, stored  # noqa: F401 - fixtures
from tests.takensnapshots import taken

pytestmark = pytest.mark.django_db


@pytest.fixture
def snapshot(live_project: Project) -> Snapshot:  # noqa: F811
    with psycopg.connect(admin_dsn(live_project), autocommit=True) as source:
        source.execute(
            "INSERT INTO series (id, device_id, variable, type) VALUES (9, %s, 'note', 'string')",
            [DEVICE],
        )
        source.execute(
            "INSERT INTO variable (series_id, time, text_value, group_key, location, metadata)"
            " VALUES (9, '2026-03-01 01:00:00.25Z', 'x', 'h', point(13.4, 52.5), '{\"a\": [1]}')"
        )
    return taken(live_project)


@pytest.fixture
def reader(snapshot: Snapshot) -> Program:
    return Program(factories.make_token(snapshot.project.created_by, "records:read"))


def path(snapshot: Snapshot, device: str = DEVICE) -> str:
    return f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/devices/{device}/records"


def test_records_come_in_pages(snapshot: Snapshot, reader: Program) -> None:
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 4}
    while True:
        page = reader.get(path(snapshot), **query)
        found += page["items"]
        if page["cursor"] is None:
            break
        query["cursor"] = page["cursor"]
    assert len(found) == len({one["id"] for one in found}) == 11
    assert [one["time"] for one in found] == sorted((one["time"] for one in found), reverse=True)
    newest = {name: value for name, value in found[0].items() if name != "id"}
    assert newest == {
        "variable": "note",
        "type": "string",
        "value": "x",
        "unit": None,
        "group": "h",
        "time": "2026-03-01T01:00:00.250000Z",
        "location": {"latitude": 52.5, "longitude": 13.4},
        "metadata": {"a": [1]},
    }
    assert (found[1]["value"], found[1]["unit"]) == (1.125, "C")
    with psycopg.connect(admin_dsn(snapshot.project)) as source:
        ids = source.execute("SELECT id FROM variable_record").fetchall()
    assert {one["id"] for one in found} == {row[0] for row in ids}
    event = AuditEvent.objects.get(action="snapshot.looked_inside")
    assert event.details["via"].startswith("API token script ")


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ({"variable": "note"}, 1),
        ({"type": "number"}, 10),
        ({"group": "h"}, 1),
        ({"since": "2026-03-01T00:08:00Z", "until": "2026-03-01T01:00:00.25Z"}, 2),
        ({"variable": "unknown"}, 0),
    ],
)
def test_a_filter(snapshot: Snapshot, reader: Program, query: dict[str, str], rows: int) -> None:
    assert len(reader.get(path(snapshot), **query)["items"]) == rows


def test_devices_come_by_name_in_pages(snapshot: Snapshot, reader: Program) -> None:
    with psycopg.connect(admin_dsn(snapshot.project), autocommit=True) as source:
        source.execute(
            "INSERT INTO device (id, name, type) SELECT lpad(n::text, 24, '0'), 'Van ' || n,"
            " 'mutable' FROM generate_series(1, 4) n"
        )
    newer = taken(snapshot.project, days_ago=1)
    devices = f"/projects/{newer.project.slug}/backups/{newer.pk}/devices"
    names, query = [], {"limit": 2}
    while True:
        page = reader.get(devices, **query)
        names += [one["name"] for one in page["items"]]
        if page["cursor"] is None:
            break
        query["cursor"] = page["cursor"]
    assert names == ["Truck", "Van 1", "Van 2", "Van 3", "Van 4"]
    truck = reader.get(devices, q="tRuck")["items"]
    assert [(one["id"], one["variables"]) for one in truck] == [(DEVICE, 4)]
    assert truck[0]["rows"] > 0
    assert truck[0]["first"].startswith("2026-03-01T")
    assert reader.get(devices, q="nothing") == {"items": [], "cursor": None}
    problem = reader.refused(422, "GET", f"{devices}?cursor={'e' * 24}")
    assert problem["errors"][0]["field"] == "cursor"
    reader.refused(422, "GET", f"{devices}?limit=1001")
    lister = Program(factories.make_token(snapshot.project.created_by, "backups:read"))
    assert lister.refused(403, "GET", devices)["needed_scope"] == "records:read"
    full = Bulkhead(running=1, waiting=0, seconds=3)
    with patch("backups_portal.portal_api.routes.backup_records.READERS", full), full.entered():
        assert reader.ask("GET", devices)["Retry-After"] == "3"


def test_what_is_refused(snapshot: Snapshot, reader: Program, stored: Storage) -> None:  # noqa: F811
    assert (
        reader.refused(422, "GET", f"{path(snapshot)}?cursor=x")["errors"][0]["field"] == "cursor"
    )
    reader.refused(422, "GET", f"{path(snapshot)}?limit=1001")
    reader.refused(422, "GET", f"{path(snapshot)}?since=20260301")
    reader.refused(404, "GET", path(snapshot, "e" * 24))
    lister = Program(factories.make_token(snapshot.project.created_by, "backups:read"))
    assert lister.refused(403, "GET", path(snapshot))["needed_scope"] == "records:read"
    full = Bulkhead(running=1, waiting=0, seconds=3)
    with patch("backups_portal.portal_api.routes.backup_records.READERS", full), full.entered():
        assert reader.ask("GET", path(snapshot))["Retry-After"] == "3"
    device_reading._recalled.cache_clear()
    for segment in Manifest.load(stored, snapshot.manifest).of("variable"):
        stored.delete(segment.key)
    problem = reader.refused(409, "GET", path(snapshot))
    assert problem["cause"] == "damaged"
    assert "missing in storage" in problem["detail"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(not shutil.which("jq") or not shutil.which("curl"), reason="no jq or no curl")
def test_scripts_of_the_manual_print_every_record_and_add_a_check(
    live_project: Project,  # noqa: F811
    settings: Settings,
    tmp_path: Path,
) -> None:
    backup = taken(live_project)
    scopes = ("records:read", "backups:read", "settings:write")
    token = factories.make_token(live_project.created_by, *scopes)
    environment = {**database_of_this_test(), "SNAPSHOT_STORAGE": settings.SNAPSHOT_STORAGE}
    with running("backups_portal.asgi", environment, tmp_path / "web.log") as url:
        script = (
            fence("portal-api.md", "records=")
            # Include the oldest page: three of four.
            .replace("limit=1000", "limit=4")
            .replace("variable=temperature&since=2026-11-01", "since=2026-01-01")
        )
        variables = {
            "api": f"{url}/api/v1/projects/{live_project.slug}/backups",
            "backup": str(backup.pk),
            "auth": f"Authorization: Bearer {token}",
            "DEVICE": DEVICE,
        }
        checks = (
            fence("portal-api.md", "checks=https")
            .replace(
                "https://portal.example.com/api/v1/projects/cold-chain",
                f"{url}/api/v1/projects/{live_project.slug}",
            )
            .replace("Truck 07", "Truck")
        )
        records, added = (
            subprocess.run(
                ["bash", "-euo", "pipefail", "-c", one],
                env={**os.environ, **variables},
                capture_output=True,
                text=True,
            )
            for one in (script, checks)
        )
    assert records.returncode == 0, records.stderr
    assert added.returncode == 0, added.stderr
    assert Check.objects.get(project=live_project).hours == 26
    ids = [json.loads(line)["id"] for line in records.stdout.splitlines()]
    assert len(set(ids)) == len(ids) == 10
