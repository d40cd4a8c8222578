"""CSV files of devices: exported into the project's files, and imported from them."""

import base64
from collections.abc import Callable, Iterator

import pytest

from backups_portal.audit.models import AuditEvent
from backups_portal.celery import app
from backups_portal.projects.models import Project
from backups_portal.tagoio_api import tasks
from backups_portal.tagoio_api.files import csv_jobs
from tests.projectdatabases import Connection
from tests.tagoio_api.conftest import Api, Sensor

RECORDS = [
    {"variable": "t", "value": 1.5, "unit": "°C", "time": "2026-03-01T12:00:00.123Z"},
    {"variable": "t", "value": 'a, "b"\n', "group": "g", "time": "2026-03-01T12:00:01Z"},
    {"variable": "open", "value": True, "metadata": {"a": [None]}, "time": "2026-03-01T12:00:02Z"},
    {"variable": "place", "location": {"lat": -8.5, "lng": 3}, "time": "2026-04-01T12:00:00Z"},
]
MADE_ANEW = ("id", "device", "created_at")


@pytest.fixture(autouse=True)
def _at_once() -> Iterator[None]:
    """What is sent to the workers is done where it is sent."""
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


def content(api: Api, path: str) -> str:
    """A file of the project."""
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


def test_a_job_that_is_sent_twice_is_done_once(
    api: Api, project: Project, sensor: Sensor, database: Connection
) -> None:
    upload(api, "in.csv", "variable,value\nt,1\n")
    for _ in range(2):
        csv_jobs.import_file(project.pk, "f" * 24, sensor.device_id, "in.csv")
    assert len(records(sensor)) == 1


def test_records_that_take_too_much_are_told(
    api: Api, sensor: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_jobs, "MAX_BYTES", 100)
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


def test_workers_know_the_jobs() -> None:
    app.loader.import_default_modules()
    assert {f"backups_portal.api.tasks.{name}_file" for name in ("import", "export")} <= set(
        app.tasks
    )


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
    # Nobody can read it.
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
    task = tasks.export_file if job == "backup" else tasks.import_file
    queued: list[tuple[object, ...]] = []
    monkeypatch.setattr(task, "delay", lambda *arguments: queued.append(arguments))
    target = "b.csv" if job == "backup" else "a.csv"
    api.post(f"/device/{sensor.device_id}/data/{job}", {"file_address": target})
    lose(api, project, sensor, database)

    task(*queued[0])

    found = dict(database.execute("SELECT path, content FROM file").fetchall())
    if says:
        assert bytes(found[f"{target}.errors.txt"]).startswith(says)
    assert "b.csv" not in found
    rows = database.execute("SELECT count(*) FROM series WHERE variable = 'later'").fetchone()
    assert rows == (0,)
