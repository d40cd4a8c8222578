"""When all readers' places are taken, the server's loop refuses more without a thread."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from threading import BoundedSemaphore
from typing import Any

import pytest
from django.test import override_settings
from django.urls import resolve

from backups_portal.lib.bulkhead import Bulkhead
from backups_portal.lib.wsgi_bridge import Bridge, Refusal
from backups_portal.reader_lanes import LANES, lane_of
from tests.access.test_table import pattern_of

REFUSAL = Refusal(503, [("Retry-After", "5"), ("Content-Type", "text/plain")], b"busy")
BACKUP = "/projects/cold-chain/backups/11111111-2222-3333-4444-555555555555/"
DEVICE = f"{BACKUP}devices/{'ab' * 12}/"
API_DEVICES = f"/api/v1{BACKUP}devices"
API = f"/api/v1{DEVICE}records"


def scope_of(path: str, method: str = "GET") -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"portal")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }


async def ask(bridge: Bridge, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of an answer."""
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    await bridge(scope_of(path, method), receive, send)
    headers = {name.decode(): value.decode() for name, value in said[0]["headers"]}
    return said[0]["status"], headers, b"".join(one.get("body", b"") for one in said[1:])


class Blocked:
    """A WSGI application whose readers block until released."""

    def __init__(self) -> None:
        self.go, self.inside = threading.Event(), threading.Semaphore(0)

    def __call__(self, environ: Any, start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/read":
            self.inside.release()
            assert self.go.wait(20)
        start("200 OK", [("Content-Type", "text/plain")])
        return Whole([b"ok"])


class Whole(list[bytes]):
    """An answer with its whole body, like most of Django's."""

    streaming = False


def test_a_crowd_is_refused_and_other_pages_get_their_threads() -> None:
    application, lane = Blocked(), BoundedSemaphore(2)
    bridge = Bridge(
        application,
        threads=4,
        lane_of=lambda path: (lane, lambda: REFUSAL) if path == "/read" else None,
    )

    async def crowd() -> None:
        readers = [asyncio.ensure_future(ask(bridge, "/read")) for _ in range(50)]
        refused = await asyncio.wait_for(asyncio.gather(*(one for one in readers[2:])), timeout=10)
        assert {(status, body) for status, _, body in refused} == {(503, b"busy")}
        assert {headers["retry-after"] for _, headers, _ in refused} == {"5"}
        status, _, body = await ask(bridge, "/read", "HEAD")
        assert (status, body) == (503, b"")
        # Both readers are in, and two threads are free.
        assert await asyncio.wait_for(ask(bridge, "/page"), timeout=10) == (
            *(200, {"content-type": "text/plain", "content-length": "2"}, b"ok"),
        )
        application.go.set()
        assert [status for status, _, _ in await asyncio.gather(*readers[:2])] == [200, 200]
        # They have released their places.
        assert (await ask(bridge, "/read"))[0] == 200

    asyncio.run(crowd())


def test_who_sends_or_takes_slowly_holds_no_place() -> None:
    application, lane = Blocked(), BoundedSemaphore(1)
    application.go.set()
    bridge = Bridge(application, threads=2, lane_of=lambda path: (lane, lambda: REFUSAL))

    async def slow() -> None:
        never, begun = asyncio.Event(), asyncio.Event()

        async def receive() -> dict[str, Any]:
            begun.set()
            await never.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            begun.set()
            await never.wait()

        async def whole() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        sending = {**scope_of("/read"), "headers": [(b"content-length", b"10")]}
        for scope, receiving in ((sending, receive), (scope_of("/read"), whole)):
            begun.clear()
            request = asyncio.ensure_future(bridge(scope, receiving, send))
            await asyncio.wait_for(begun.wait(), timeout=10)
            assert (await ask(bridge, "/read"))[0] == 200
            request.cancel()

    asyncio.run(slow())


def test_a_reader_that_breaks_gives_its_place_back() -> None:
    lane = BoundedSemaphore(1)

    def broken(environ: Any, start: Any) -> Iterable[bytes]:
        raise ZeroDivisionError

    bridge = Bridge(broken, threads=1, lane_of=lambda path: (lane, lambda: REFUSAL))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            asyncio.run(ask(bridge, "/read"))
    assert lane.acquire(blocking=False)


def test_readers_of_backups_have_lanes_and_nobody_else() -> None:
    for path in (
        DEVICE,
        f"{DEVICE}chart/",
        f"{DEVICE}variables/",
        f"{DEVICE}export/",
        API,
        API_DEVICES,
    ):
        assert lane_of(path) is not None, path
    for path in (BACKUP, f"{BACKUP}devices/", "/projects/x/backups/", "/", f"{DEVICE}nothing/"):
        assert lane_of(path) is None, path


def test_the_names_of_lanes_are_names_of_addresses() -> None:
    found = {resolve(path).view_name for path in (API, API_DEVICES)}
    assert {name for name in LANES if ":" in name} == found
    for name in LANES.keys() - found:
        assert pattern_of(name)


def test_pages_and_programs_are_told_when_to_come_again() -> None:
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    with override_settings(STORAGES={"staticfiles": plain}):
        for path, kind, text in (
            (DEVICE, "text/html; charset=utf-8", b"Others are looking into backups"),
            (API, "application/problem+json", b"Try again in 5 seconds"),
        ):
            found = lane_of(path)
            assert found is not None
            status, headers, body = found[1]()
            assert (status, dict(headers)["Content-Type"]) == (503, kind)
            assert dict(headers)["Retry-After"] == "5"
            assert text in body


def test_a_lane_has_as_many_places_as_its_bulkhead() -> None:
    lane = Bulkhead(running=2, waiting=1, seconds=3).lane
    assert [lane.acquire(blocking=False) for _ in range(4)] == [True, True, True, False]
    lane.release()
    assert lane.acquire(blocking=False)
