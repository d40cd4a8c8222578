"""The stream of events: who hears what."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from backups_portal.api.routes import stream
from backups_portal.projects.models import Project
from tests.api.conftest import Api, Sensor, api_of

DENIED = (401, "Authorization Denied")


@contextmanager
def listening(api: Api, channels: str, **headers: str) -> Iterator[Iterator[bytes]]:
    """What comes through a stream, after its greeting."""
    response = api.client.get(f"/events?{channels}", headers={"token": api.token, **headers})
    assert response["Content-Type"] == "text/event-stream"
    pieces = iter(response.streaming_content)
    assert next(pieces) == b": listening\n\n"
    yield pieces
    response.close()


def event(piece: bytes) -> Any:
    assert piece.startswith(b"data: ")
    return json.loads(piece.removeprefix(b"data: "))


def external(api: Api) -> dict[str, str]:
    body = {"name": "Report", "run_on": "external", "variables": [{"key": "a", "value": "b"}]}
    return dict(api.post("/analysis", body))


def test_an_analysis_hears_that_it_is_to_run(api: Api) -> None:
    made = external(api)
    analysis = Api(made["token"], api.client)
    for query in ("channels=analysis_trigger", "channel=analysis_trigger"):
        with listening(analysis, query) as pieces:
            scope = [{"variable": "t", "value": 1}]
            assert api.post(f"/analysis/{made['id']}/run", {"scope": scope}) == {
                "analysis_token": made["token"]
            }
            assert event(next(pieces)) == {
                "channel": "analysis_trigger",
                "payload": {
                    "analysis_id": made["id"],
                    "environment": [{"key": "a", "value": "b"}],
                    "data": scope,
                    "token": made["token"],
                },
            }


def test_a_console_is_followed_and_kept(api: Api) -> None:
    made = external(api)
    analysis = Api(made["token"], api.client)
    channel = f"analysis_console.{made['id']}"
    with listening(api, f"channel={channel}") as pieces:
        for stamp in (1772366400123, "2026-03-01 12:00:00.123456"):
            analysis.post("/analysis/services/console/send", {"message": "hi", "timestamp": stamp})
            assert event(next(pieces)) == {
                "channel": channel,
                "payload": {"timestamp": "2026-03-01T12:00:00.123Z", "message": "hi"},
            }
    assert len(api.get(f"/analysis/{made['id']}")["console"]) == 2


def test_a_device_is_followed_as_its_data_comes_in(api: Api, sensor: Sensor) -> None:
    channels = [f"device_{what}.{sensor.device_id}" for what in ("data", "inspector")]
    for listener in (api, Api(sensor.token, api.client)):
        with listening(listener, f"channels={','.join(channels)}") as pieces:
            sensor.post("/data", {"variable": "t", "value": 1})
            data, inspected = event(next(pieces)), event(next(pieces))
            assert data == {"channel": channels[0], "payload": [{"variable": "t", "value": 1}]}
            assert inspected["channel"] == channels[1]
            assert inspected["payload"]["device_id"] == sensor.device_id
            assert inspected["payload"]["title"] == "1 Data Added"
            assert json.loads(inspected["payload"]["content"]) == data["payload"]


def test_what_is_refused_is_told_to_nobody(api: Api, sensor: Sensor, short_breath: None) -> None:
    with listening(api, f"channel=device_data.{sensor.device_id}") as pieces:
        assert sensor.call("POST", "/data", {"value": 1})[0] == 400
        assert next(pieces) == b": still here\n\n"


@pytest.fixture
def short_breath(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BREATH", 0.05)


def test_another_project_hears_nothing(
    api: Api, other_project: Project, sensor: Sensor, short_breath: None
) -> None:
    with listening(api_of(other_project), f"channel=device_data.{sensor.device_id}") as pieces:
        sensor.post("/data", {"variable": "t", "value": 1})
        assert next(pieces) == b": still here\n\n"


def test_tokens_hear_what_is_their_own(api: Api, project: Project, sensor: Sensor) -> None:
    made, other = external(api), Sensor.create(api)
    for caller, channel in (
        (sensor, f"device_data.{other.device_id}"),
        (sensor, f"analysis_console.{made['id']}"),
        (sensor, "analysis_trigger"),
        (Api(made["token"], api.client), f"device_data.{sensor.device_id}"),
        # It would bring a token that may do more.
        (api_of(project, permission="read"), f"analysis_trigger.{made['id']}"),
    ):
        assert caller.call("GET", f"/events?channel={channel}") == DENIED
    assert api.call("GET", "/events") == (400, "Name 1 to 20 channels")


def test_so_many_listen_in_one_process_and_no_more(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    from threading import BoundedSemaphore

    one = BoundedSemaphore(1)
    monkeypatch.setattr(stream, "places", lambda: one)
    with listening(api, "channel=notification"):
        status, message = api.call("GET", "/events?channel=notification")
        assert (status, message) == (429, "Too many clients listen at the moment")
    with listening(api, "channel=notification"):
        pass


def test_a_stream_ends_by_itself(
    api: Api, monkeypatch: pytest.MonkeyPatch, short_breath: None
) -> None:
    monkeypatch.setattr(stream, "LONGEST", 0.12)
    with listening(api, "channel=notification") as pieces:
        assert 1 <= len(list(pieces)) <= 4
