"""CSV files of devices, exported into the project's files and imported from them."""

import base64
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from celery.exceptions import OperationalError as BrokerError
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.celery import app
from backups_portal.ops.tasks import send_overlooked
from backups_portal.projects.models import Project
from backups_portal.transfers.csv_files import csv_job
from backups_portal.transfers.models import CsvRequest
from backups_portal.transfers.tasks import run_csv
from tests.projectdatabases import Connection
from tests.tagoio_api.conftest import Api, Sensor

RECORDS = [
    {"variable": "t", "value": 1.5, "unit": "°C", "time": "2026-03-01T12:00:00.123Z"},
    {"variable": "t", "value": 'a, "b"\n', "group": "g", "time": "2026-03-01T12:00:01Z"},
    {"variable": "open", "value": True, "metadata": {"a": [None]}, "time": "2026-03-01T12:00:02Z"},
    {"variable": "place", "location": {"lat": -8.5, "lng": 3}, "time": "2026-04-01T12:00:00Z"},
]
# Messages are sent on commit.
pytestmark = pytest.mark.django_db(transaction=True)
MADE_ANEW = ("id", "device", "created_at")


@pytest.fixture(autouse=True)
def _at_once() -> Iterator[None]:
    """Run tasks at once instead of sending them to a worker."""
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


def content(api: Api, path: str) -> str:
    """Return the content of a project's file."""
    profile = api.get("/profile/current")["info"]["id"]
    response = api.client.get(f"/file/{profile}/{path}", headers={"token": api.token})
    assert response.status_code == 200
    return b"".join(response.streaming_content).decode()


def upload(api: Api, path: str, text: str) -> None:
    encoded = base64.b64encode(text.encode()).decode()
    api.post("/files", [{"filename": path, "file": encoded, "public": False}])


def records(sensor: Sensor) -> list[dict[str, object]]:
    found = sensor.get("/data?qty=100&ordination=ascending")
    return [{k: v for k, v in record.items() if k not in MADE_ANEW} for record in found]


def test_what_is_exported_is_imported_as_it_was(api: Api, sensor: Sensor) -> None:
    sensor.post("/data", RECORDS)
    path = f"/device/{sensor.device_id}/data/backup"
    made = api.post(path, {"file_address": "/out/$DEVICE$", "headers": True})
    assert made == {"file_address": f"out/{sensor.device_id}.csv", "status": "scheduled"}
    header, first = content(api, made["file_address"]).splitlines()[:2]
    assert header == "id,variable,value,group,unit,location,metadata,time,value_type"
    assert first.split(",")[1:3] == ["t", "1.5"]

    other = Sensor.create(api)
    said = api.post(
        f"/device/{other.device_id}/data/restore", {"file_address": made["file_address"]}
    )
    assert said == "Data import added to the queue successfully!"
    assert records(other) == records(sensor)
    assert {*AuditEvent.objects.values_list("action", "subject")} >= {
        *(("data.exported", "Sensor"), ("data.imported", "Sensor"))
    }


def test_a_chunk_is_exported_by_itself(api: Api) -> None:
    chunks = {"type": "immutable", "chunk_period": "month", "chunk_retention": 12}
    sensor = Sensor.create(api, **chunks)
    sensor.post("/data", RECORDS)
    path = f"/device/{sensor.device_id}/chunk"
    april = api.get(path)[1]["id"]
    body = {"file_address": "$FROM$_$TO$.csv", "headers": False, "chunk_id": april}
    made = api.post(f"{path}/copy", body)
    assert made["file_address"] == "2026-04-01_2026-05-01.csv"
    (line,) = content(api, made["file_address"]).splitlines()
    assert '"{""type"" : ""Point"", ""coordinates"" : [3, -8.5]}"' in line
    assert api.call("POST", f"{path}/backup", {**body, "chunk_id": "x"}) == (404, "Chunk Not Found")


def test_a_bad_line_keeps_the_whole_file_out_and_is_named(api: Api, sensor: Sensor) -> None:
    upload(api, "in.csv", "variable,value,colour\nt,1,red\n,2,red\nt,3,red\n")
    path = f"/device/{sensor.device_id}/data/restore"
    api.post(path, {"file_address": "in.csv"})
    assert records(sensor) == []
    assert content(api, "in.csv.errors.txt") == "Line 3: variable must be text\n"

    upload(api, "in.csv", "Variable,value,colour\nt,1,red\nt,true,red\n")
    api.post(path, {"file_address": "in.csv"})
    assert [record["value"] for record in records(sensor)] == [1, True]
    assert [one["filename"] for one in api.get("/files")["files"]] == ["in.csv"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("value\n1\n", "The first line must name the columns"),
        ("", "The first line must name the columns"),
        ("variable,value\nt\n", "Line 2: it has 1 fields instead of 2"),
    ],
)
def test_a_file_that_is_none_is_told(api: Api, sensor: Sensor, text: str, says: str) -> None:
    upload(api, "in.csv", text)
    api.post(f"/device/{sensor.device_id}/data/restore", {"file_address": "in.csv"})
    assert content(api, "in.csv.errors.txt").startswith(says)


def test_records_that_take_too_much_are_told(
    api: Api, sensor: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_job, "MAX_BYTES", 100)
    sensor.post("/data", RECORDS)
    api.post(f"/device/{sensor.device_id}/data/backup", {"file_address": "out"})
    assert content(api, "out.csv.errors.txt") == "The records take more than 0.0001 MB.\n"
    assert [one["filename"] for one in api.get("/files")["files"]] == ["out.csv.errors.txt"]


def test_what_is_not_there_is_refused_at_once(api: Api, sensor: Sensor) -> None:
    body = {"file_address": "in.csv"}
    path = f"/device/{sensor.device_id}/data"
    assert api.call("POST", f"{path}/restore", body) == (404, "File Not Found")
    assert api.call("POST", f"{path}/backup", {"file_address": "../x"})[0] == 400
    for what in ("restore", "backup"):
        gone = f"/device/{'0' * 24}/data/{what}"
        assert api.call("POST", gone, body) == (404, "Invalid Device ID")


def test_a_broker_that_is_away_delays_a_job(
    api: Api, sensor: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise BrokerError("connection refused")

    upload(api, "in.csv", "variable,value\nt,1\n")
    with monkeypatch.context() as patch:
        patch.setattr(run_csv, "delay", away)
        api.post(f"/device/{sensor.device_id}/data/restore", {"file_address": "in.csv"})
    assert records(sensor) == []
    send_overlooked(CsvRequest, timezone.now())
    assert len(records(sensor)) == 1


class TestMessagesOfEarlierVersions:
    """They contain a row's current content, and may come twice."""

    @pytest.fixture(autouse=True)
    def _as_workers_do(self) -> None:
        app.loader.import_default_modules()

    def deliver(self, task: str, said: list[object], task_id: str | None = None) -> None:
        app.tasks[f"backups_portal.api.tasks.{task}"].apply(said, task_id=task_id, throw=True)

    def test_an_import(self, api: Api, project: Project, sensor: Sensor) -> None:
        upload(api, "in.csv", "variable,value\nt,1\n")
        said = [str(project.pk), "f" * 24, sensor.device_id, "in.csv", "", True]
        for _ in range(2):
            self.deliver("import_file", said)
            self.deliver("import_file", said)
            send_overlooked(CsvRequest, timezone.now())
        assert len(records(sensor)) == 1

    def test_an_export(self, api: Api, project: Project, sensor: Sensor) -> None:
        sensor.post("/data", RECORDS)
        april = ["2026-04-01T00:00:00+00:00", "2026-05-01T00:00:00+00:00"]
        for path, between in (("april.csv", april), ("all.csv", None)):
            said = [str(project.pk), sensor.device_id, path, False, between]
            task_id = str(uuid4())
            self.deliver("export_file", said, task_id)
            self.deliver("export_file", said, task_id)
        assert CsvRequest.objects.count() == 2
        send_overlooked(CsvRequest, timezone.now())
        found = [len(content(api, path).splitlines()) for path in ("april.csv", "all.csv")]
        assert found == [1, 5]


def revoke(api: Api, project: Project, sensor: Sensor, database: Connection) -> None:
    database.execute("DELETE FROM token WHERE kind = 'profile'")


def expire(api: Api, project: Project, sensor: Sensor, database: Connection) -> None:
    database.execute("UPDATE token SET expires_at = now() - interval '1 minute'")


def weaken(api: Api, project: Project, sensor: Sensor, database: Connection) -> None:
    database.execute("UPDATE token SET permission = 'read' WHERE kind = 'profile'")


def delete_device(api: Api, project: Project, sensor: Sensor, database: Connection) -> None:
    database.execute("DELETE FROM device")


def shut_down(api: Api, project: Project, sensor: Sensor, database: Connection) -> None:
    Project.objects.filter(pk=project.pk).update(state=Project.State.SHUT_DOWN)


REVOKED = b"The token that asked for this was revoked or lost its right.\n"
LOST = [
    (revoke, REVOKED),
    (expire, REVOKED),
    (weaken, REVOKED),
    (delete_device, b"There is no device "),
    # The files of a project that is shut down cannot be read.
    (shut_down, b""),
]


@pytest.mark.parametrize("job", ["backup", "restore"])
@pytest.mark.parametrize(("lose", "says"), LOST)
def test_a_job_whose_right_was_lost_does_nothing_and_says_why(
    api: Api,
    project: Project,
    sensor: Sensor,
    database: Connection,
    monkeypatch: pytest.MonkeyPatch,
    job: str,
    lose: Callable[..., None],
    says: bytes,
) -> None:
    sensor.post("/data", RECORDS)
    upload(api, "a.csv", "variable,value\nlater,1\n")
    monkeypatch.setattr(run_csv, "delay", lambda pk: None)
    target = "b.csv" if job == "backup" else "a.csv"
    api.post(f"/device/{sensor.device_id}/data/{job}", {"file_address": target})
    lose(api, project, sensor, database)

    csv_job.run_csv(CsvRequest.objects.get().pk)

    found = dict(database.execute("SELECT path, content FROM file").fetchall())
    if says:
        assert bytes(found[f"{target}.errors.txt"]).startswith(says)
    assert "b.csv" not in found
    rows = database.execute("SELECT count(*) FROM series WHERE variable = 'later'").fetchone()
    assert rows == (0,)
    assert not CsvRequest.objects.exists()
