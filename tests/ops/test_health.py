"""The endpoints for load balancers."""

import time
from collections.abc import Callable, Iterator
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
from backups_portal.ops import storage_state
from backups_portal.ops.liveness_metrics import SIGNS
from backups_portal.ops.storage_probe import storage_works
from backups_portal.ops.tasks import look_at_copies, look_at_storage
from snapshots.replication import copy_sweep
from snapshots.storages.storage_marker import MARKER
from snapshots.storages.storage_signs import copies_sign, storage_sign
from tests.factories import make_project_row, make_snapshot


def test_health_needs_neither_sign_in_nor_database(client: Client) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok")


@pytest.fixture
def signs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """All signs of life are fresh, and nothing is remembered for long."""
    settings.WORKERS_SILENT_AFTER = timedelta(minutes=2)
    monkeypatch.setattr(liveness, "KEY", f"test:{uuid4()}")
    monkeypatch.setattr(liveness, "STARTED", time.monotonic() - 3600)
    for sign in SIGNS:
        liveness.note(sign)
    storage_state.probe(storage_sign(), lambda: True)


@pytest.mark.django_db
@pytest.mark.usefixtures("signs")
def test_ready_when_all_works(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == dict.fromkeys(["database", "redis", *SIGNS, "storage"], "ok")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Move this many minutes on; all processes except lost ones give signs then."""
    began = timezone.now()

    def wait(*lost: str, minutes: float = 6) -> None:
        now = began + timedelta(minutes=minutes)
        monkeypatch.setattr(liveness.timezone, "now", lambda: now)
        for sign in set(SIGNS) - set(lost):
            liveness.note(sign)

    return wait


# The answers that change while one of the processes is lost.
LOST = {
    "worker": {"worker": "unavailable"},
    "system": {"system": "unavailable", "schedule": "unknown", "storage": "unknown"},
    "beat": {"beat": "unavailable", "schedule": "unknown", "storage": "unknown"},
    "schedule": {"schedule": "unavailable"},
}


@pytest.mark.django_db
@pytest.mark.usefixtures("signs")
@pytest.mark.parametrize("lost", SIGNS)
def test_not_ready_names_what_is_lost_and_nothing_else(
    client: Client, later: Callable[..., None], lost: str
) -> None:
    said = LOST[lost]
    later(*said)
    if "storage" not in said:
        storage_state.probe(storage_sign(), lambda: True)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert {name: state for name, state in response.json().items() if state != "ok"} == said


@pytest.mark.django_db
@pytest.mark.usefixtures("signs")
def test_the_storage_is_tried(
    settings: Settings, tmp_path: Path, later: Callable[..., None], client: Client
) -> None:
    settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'snapshots'}"
    look_at_storage()
    assert storage_state.storage_state(storage_sign()) == "ok"
    left = [file.name for file in (tmp_path / "snapshots").rglob("*") if file.is_file()]
    assert left == [MARKER]
    (tmp_path / "file").touch()
    settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'file' / 'below'}"
    look_at_storage()
    # The next try may work.
    assert client.get("/readyz").json()["storage"] == "ok"
    later()
    look_at_storage()
    # No request checked in between.
    assert client.get("/readyz").json()["storage"] == "ok"
    for minutes in range(7, 14, 3):
        later(minutes=minutes)
        look_at_storage()
    assert client.get("/readyz").status_code == 503
    assert client.get("/readyz").json()["storage"] == "unavailable"
    (tmp_path / "file").unlink()
    look_at_storage()
    assert client.get("/readyz").json()["storage"] == "ok"


@pytest.mark.django_db
@pytest.mark.usefixtures("signs")
def test_a_storage_that_hangs_until_its_probe_is_killed_is_down(
    later: Callable[..., None],
) -> None:
    def be_killed() -> bool:
        raise SystemExit

    for minutes in range(0, 9, 2):
        later(minutes=minutes)
        with pytest.raises(SystemExit):
            storage_state.probe(storage_sign(), be_killed)
    assert storage_state.storage_state(storage_sign()) == "unavailable"


@pytest.mark.django_db
@pytest.mark.usefixtures("signs")
def test_what_is_known_of_a_storage_is_not_said_of_another(
    settings: Settings, tmp_path: Path
) -> None:
    settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'one'}"
    look_at_storage()
    settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'other'}"
    assert storage_state.storage_state(storage_sign()) == "unknown"
    settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path / 'one'}"
    look_at_copies()
    assert storage_state.storage_state(copies_sign()) == "ok"
    copy_sweep.note_away()
    assert copy_sweep.second_is_away()
    settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path / 'other'}"
    assert storage_state.storage_state(copies_sign()) == "unknown"
    assert not copy_sweep.second_is_away()


@pytest.mark.django_db
@pytest.mark.usefixtures("signs")
def test_a_folder_that_is_not_mounted_is_no_storage(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'mounted'}"
    look_at_storage()
    make_snapshot(make_project_row())
    assert storage_works()
    (tmp_path / "mounted").rename(tmp_path / "elsewhere")
    assert not storage_works()
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
    # Redis is lost, and with it the others' signs of life, which does not mean that they stopped.
    unknown = dict.fromkeys([*SIGNS, "storage"], "unknown")
    assert response.json() == {"database": "ok", "redis": "unavailable", **unknown}


@pytest.fixture
def full_redis() -> Iterator[None]:
    """Redis answers reads, and refuses writes for lack of memory."""
    client = redis_client()
    client.config_set("maxmemory", 1)
    yield
    client.config_set("maxmemory", 0)


@pytest.mark.django_db
@pytest.mark.usefixtures("signs", "full_redis")
def test_not_ready_while_redis_takes_nothing(client: Client) -> None:
    response = client.get("/readyz")
    assert (response.status_code, response.json()["redis"]) == (503, "unavailable")


@pytest.mark.django_db
def test_not_ready_without_database(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "cursor", refuse)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["database"] == "unavailable"


@pytest.mark.django_db
def test_not_ready_while_the_database_takes_nothing(client: Client) -> None:
    """For example after a failover that left the portal on a replica."""
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
    response = client.get("/readyz")
    assert (response.status_code, response.json()["database"]) == (503, "unavailable")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_only_read(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_health_asks_neither_for_tls_nor_for_a_host_name(
    client: Client, settings: Settings, path: str
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.METRICS_TOKEN = "t" * 40
    settings.ALLOWED_HOSTS = ["portal.example.com"]
    token = {"Authorization": f"Bearer {'t' * 40}"}
    assert client.get(path, headers={"Host": "10.1.2.3:8000", **token}).status_code in (200, 503)
    assert client.get("/sign-in/", headers={"Host": "10.1.2.3:8000"}).status_code == 400
    host = {"Host": "portal.example.com"}
    assert client.get("/sign-in/", headers=host).status_code == 301
