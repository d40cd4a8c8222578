"""What load balancers ask."""

import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from backups_portal.lib import liveness
from backups_portal.lib.redis_client import redis_client
from backups_portal.ops.tasks import look_at_storage
from backups_portal.ops.views import SIGNS
from snapshots.storages.storage_marker import MARKER
from tests.factories import make_project_row, make_snapshot


def test_health_needs_neither_sign_in_nor_database(client: Client) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok")


@pytest.fixture
def signs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is seen to work, and nothing for long."""
    settings.WORKERS_SILENT_AFTER = timedelta(minutes=2)
    monkeypatch.setattr(liveness, "KEY", f"test:{uuid4()}")
    monkeypatch.setattr(liveness, "STARTED", time.monotonic() - 3600)
    for sign in SIGNS:
        liveness.note(sign)


@pytest.mark.django_db
@pytest.mark.usefixtures("signs")
def test_ready_when_all_works(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == dict.fromkeys(["database", "redis", *SIGNS], "ok")


@pytest.mark.django_db
@pytest.mark.usefixtures("signs")
@pytest.mark.parametrize("silent", SIGNS)
def test_not_ready_while_something_is_silent(
    client: Client, monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    later = timezone.now() + timedelta(minutes=6)
    monkeypatch.setattr(liveness.timezone, "now", lambda: later)
    for sign in SIGNS:
        if sign != silent:
            liveness.note(sign)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert [name for name, state in response.json().items() if state != "ok"] == [silent]


@pytest.mark.django_db
@pytest.mark.usefixtures("signs")
def test_the_storage_is_tried(settings: Settings, tmp_path: Path) -> None:
    settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'snapshots'}"
    redis_client().delete(liveness._key(liveness.STORAGE))
    look_at_storage()
    assert liveness.last_sign(liveness.STORAGE) is not None
    left = [file.name for file in (tmp_path / "snapshots").rglob("*") if file.is_file()]
    assert left == [MARKER]
    redis_client().delete(liveness._key(liveness.STORAGE))
    (tmp_path / "file").touch()
    settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'file' / 'below'}"
    look_at_storage()
    assert liveness.last_sign(liveness.STORAGE) is None


@pytest.mark.django_db
@pytest.mark.usefixtures("signs")
def test_a_folder_that_is_not_mounted_is_no_storage(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'mounted'}"
    look_at_storage()
    make_snapshot(make_project_row())
    look_at_storage()
    assert liveness.last_sign(liveness.STORAGE) is not None
    redis_client().delete(liveness._key(liveness.STORAGE))
    (tmp_path / "mounted").rename(tmp_path / "elsewhere")
    look_at_storage()
    assert liveness.last_sign(liveness.STORAGE) is None
    assert "in place of the right one" in caplog.text
    assert not [file for file in (tmp_path / "mounted").rglob("*") if file.is_file()]


@pytest.mark.django_db
@pytest.mark.usefixtures("signs")
def test_a_storage_of_before_there_were_markers_is_known_by_what_it_holds(
    settings: Settings, tmp_path: Path
) -> None:
    settings.SNAPSHOT_STORAGE = f"file://{tmp_path}"
    snapshot = make_snapshot(make_project_row())
    (tmp_path / "manifests").mkdir()
    (tmp_path / snapshot.manifest).write_text("{}")
    look_at_storage()
    assert (tmp_path / MARKER).exists()


@pytest.mark.django_db
def test_not_ready_without_redis(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    response = client.get("/readyz")
    assert response.status_code == 503
    down = dict.fromkeys(["redis", *SIGNS], "unavailable")
    assert response.json() == {"database": "ok", **down}


@pytest.mark.django_db
def test_not_ready_without_database(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "cursor", refuse)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["database"] == "unavailable"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_only_read(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405


def test_health_answers_where_all_else_is_sent_to_https(client: Client, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/healthz").status_code == 200
    assert client.get("/sign-in/").status_code == 301
