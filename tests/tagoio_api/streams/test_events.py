"""The stream of events: which clients receive which events."""

import json
import queue
from asyncio import Runner
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import redis

from backups_portal.lib.wsgi_bridge import STREAM
from backups_portal.projects.models import Project
from backups_portal.tagoio_api.connection_pools import PoolBusyError
from backups_portal.tagoio_api.streams import event_hub
from tests.tagoio_api.conftest import Api, Sensor, api_of

# A stream looks its token up in another thread, which sees only committed rows.
pytestmark = pytest.mark.django_db(transaction=True)

DENIED = (401, "Authorization Denied")


@contextmanager
def listening(api: Api, channels: str, **headers: str) -> Iterator[Iterator[bytes]]:
    """Yield a stream's lines after its greeting."""
    response = api.client.get(f"/events?{channels}", headers={"token": api.token, **headers})
    assert response["Content-Type"] == "text/event-stream"
    listener = response.wsgi_request.META[STREAM]
    pieces: queue.Queue[bytes] = queue.Queue()

    async def send(piece: bytes) -> None:
        pieces.put(piece)

    with Runner() as runner, ThreadPoolExecutor(1) as thread, pytest.MonkeyPatch.context() as patch:
        hub = event_hub.Hub()
        patch.setattr(event_hub, "the_hub", lambda: hub)
        ended = thread.submit(runner.run, listener.run(send))
        ended.add_done_callback(lambda _: pieces.put(b""))
        taken = iter(lambda: pieces.get(timeout=10), None)
        assert next(taken) == b": listening\n\n"
        yield taken
        runner.get_loop().call_soon_threadsafe(listener.end)
        ended.result(10)


def event(piece: bytes) -> Any:
    number, data = piece.removesuffix(b"\n\n").split(b"\n")
    assert number.removeprefix(b"id: ").isdigit()
    return json.loads(data.removeprefix(b"data: "))


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


def test_who_listens_with_a_token_that_was_renewed_is_not_given_the_new_one(api: Api) -> None:
    made = external(api)
    leaked = Api(made["token"], api.client)
    with listening(leaked, "channel=analysis_trigger") as pieces:
        renewed = api.get(f"/analysis/{made['id']}/token")
        assert api.post(f"/analysis/{made['id']}/run") == renewed
        assert next(pieces) == b""


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
    monkeypatch.setattr(event_hub, "BREATH_SECONDS", 0.05)


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
        # It would reveal a token with more rights.
        (api_of(project, permission="read"), f"analysis_trigger.{made['id']}"),
    ):
        assert caller.call("GET", f"/events?channel={channel}") == DENIED
    assert api.call("GET", "/events") == (400, "Name 1 to 20 channels")


@pytest.fixture
def no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object, **kwargs: object) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr("redis.Redis.execute_command", away)


def test_what_passes_is_answered_by_a_stream_that_ends(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy: list[type[Exception]] = [PoolBusyError, psycopg.OperationalError, ZeroDivisionError]

    def refuse(*_: object) -> None:
        raise busy[0]

    api.client.raise_request_exception = False
    monkeypatch.setattr("backups_portal.tagoio_api.auth.project_token_auth.borrow", refuse)
    while busy:
        response = api.client.get("/events?channel=ui", headers={"token": api.token})
        assert (response.status_code, response.content) == (200, b"retry: 5000\n\n")
        assert response["Content-Type"] == "text/event-stream"
        assert api.call("GET", "/device")[0] >= 500
        busy.pop(0)


def test_a_run_that_nobody_can_be_told_of_says_so(api: Api, no_redis: None) -> None:
    made = external(api)
    status, message = api.call("POST", f"/analysis/{made['id']}/run")
    assert status == 400
    assert message.startswith("Nothing was run")


def test_tokens_are_looked_up_again_after_a_look_that_failed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: queue.Queue[int] = queue.Queue()

    def fail(claims: object) -> set[object]:
        looks.put(1)
        raise psycopg.ProgrammingError("permission denied")

    monkeypatch.setattr(event_hub, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr(event_hub, "refused", fail)
    with listening(api, "channel=notification"):
        for _ in range(3):
            looks.get(timeout=5)
