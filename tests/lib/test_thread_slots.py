"""No tenant of a server takes all of its threads."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from backups_portal.lib.thread_slots import Slots
from backups_portal.lib.wsgi_bridge import WAITING_THREADS, Bridge
from tests.lib.test_lanes import Blocked, Whole, ask, scope_of


def bridge_of(application: Callable[..., Iterable[bytes]], *, each: int) -> Bridge:
    """Two threads, and requests whose path is their tenant."""
    return Bridge(application, threads=2, each=each, tenant_of=lambda environ: environ["PATH_INFO"])


@pytest.mark.parametrize("crowd_leaves", [False, True])
def test_a_tenant_leaves_a_thread_to_others(crowd_leaves: bool) -> None:
    application = Blocked()
    bridge = bridge_of(application, each=1)

    async def crowd() -> None:
        waiting = [asyncio.ensure_future(ask(bridge, "/read")) for _ in range(20)]
        await asyncio.to_thread(application.inside.acquire)
        if crowd_leaves:
            # The thread goes on working for a client that has left.
            for one in waiting:
                one.cancel()
            await asyncio.wait(waiting)
            waiting = [asyncio.ensure_future(ask(bridge, "/read"))]
            await asyncio.sleep(0)
        assert (await asyncio.wait_for(ask(bridge, "/page"), timeout=10))[0] == 200
        application.go.set()
        assert {answer[0] for answer in await asyncio.gather(*waiting)} == {200}

    asyncio.run(crowd())


def test_crowds_of_two_tenants_leave_a_thread_to_a_third() -> None:
    """Each crowd has as many requests as the server has threads, and all wait for something."""
    inside, go = threading.Semaphore(0), threading.Event()

    def locked(environ: Any, start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/page":
            inside.release()
            assert go.wait(20)
        start("200 OK", [])
        return [b"ok"]

    bridge = Bridge(locked, threads=3, each=1, tenant_of=lambda environ: environ["PATH_INFO"])

    async def crowds() -> None:
        asked = ("/one", "/two") * (3 + WAITING_THREADS)
        waiting = [asyncio.ensure_future(ask(bridge, path)) for path in asked]
        for _ in range(2):
            await asyncio.to_thread(inside.acquire)
        try:
            assert (await asyncio.wait_for(ask(bridge, "/page"), timeout=10))[0] == 200
        finally:
            go.set()
        assert {answer[0] for answer in await asyncio.gather(*waiting)} == {200}

    asyncio.run(crowds())


def test_a_request_that_breaks_gives_its_slot_back() -> None:
    def broken(environ: Any, start: Any) -> Iterable[bytes]:
        raise ZeroDivisionError

    bridge = bridge_of(broken, each=1)

    async def often() -> None:
        for _ in range(4):
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(ask(bridge, "/read"), timeout=10)

    asyncio.run(often())


def test_a_request_that_leaves_while_waiting_keeps_nothing() -> None:
    async def leave() -> None:
        slots = Slots(threads=1, each=1, waiting=1)
        first, second = slots.of("a"), slots.of("b")
        await first.acquire()
        waiting = asyncio.ensure_future(second.acquire())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        first.release()
        await asyncio.wait_for(slots.of("b").acquire(), timeout=10)

    asyncio.run(leave())


def test_requests_without_a_tenant_share_only_the_threads() -> None:
    inside = threading.Barrier(2)

    def together(environ: Any, start: Callable[..., Any]) -> Iterable[bytes]:
        inside.wait(10)
        start("200 OK", [])
        return [b"ok"]

    bridge = Bridge(together, threads=2, each=1)

    async def both() -> None:
        answers = await asyncio.gather(ask(bridge, "/"), ask(bridge, "/"))
        assert {answer[0] for answer in answers} == {200}

    asyncio.run(both())


class Uploads:
    """An application that reads the bodies of uploads, and clients that send them slowly.

    Attributes:
        reading: Counts the threads that have begun to read.
        arrived: Once set, the rest of each body arrives.
    """

    def __init__(self) -> None:
        self.reading, self.arrived = threading.Semaphore(0), asyncio.Event()

    def __call__(self, environ: Any, start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/upload"):
            self.reading.release()
            environ["wsgi.input"].read()
        start("200 OK", [])
        return Whole([b"ok"])

    async def receive(self) -> dict[str, Any]:
        await self.arrived.wait()
        return {"type": "http.request", "body": b"x", "more_body": False}

    async def send(self, bridge: Bridge, path: str) -> int:
        """Upload something; return the answer's status."""
        said: list[Any] = []

        async def send(message: Any) -> None:
            said.append(message)

        scope = {**scope_of(path, "POST"), "headers": [(b"transfer-encoding", b"chunked")]}
        await bridge(scope, self.receive, send)
        return int(said[0]["status"])

    async def are_read(self, number: int) -> None:
        """Return once as many threads read."""
        for _ in range(number):
            assert await asyncio.to_thread(self.reading.acquire, timeout=10)


def test_a_crowd_of_uploads_blocks_neither_itself_nor_others() -> None:
    """Many large bodies of one tenant arrive while more of its requests wait."""

    async def crowd() -> None:
        application = Uploads()
        bridge = bridge_of(application, each=1)
        uploads = [asyncio.ensure_future(application.send(bridge, "/upload")) for _ in range(80)]
        # As many as read at the same time.
        await application.are_read(WAITING_THREADS * 3 // 4)
        application.arrived.set()
        assert (await asyncio.wait_for(ask(bridge, "/page"), timeout=10))[0] == 200
        assert set(await asyncio.wait_for(asyncio.gather(*uploads), timeout=30)) == {200}

    asyncio.run(crowd())


def test_slow_uploads_of_several_tenants_leave_threads_to_others() -> None:
    async def crowd() -> None:
        application = Uploads()
        bridge = bridge_of(application, each=1)
        uploads = [
            asyncio.ensure_future(application.send(bridge, f"/upload-{number % 3}"))
            for number in range(120)
        ]
        await application.are_read(WAITING_THREADS)
        for path in ("/page", "/upload-0"):
            assert (await asyncio.wait_for(ask(bridge, path), timeout=10))[0] == 200
        application.arrived.set()
        assert set(await asyncio.wait_for(asyncio.gather(*uploads), timeout=30)) == {200}

    asyncio.run(crowd())


def test_clients_that_read_slowly_leave_threads_to_others() -> None:
    def export(environ: Any, start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [])
        return iter([b"piece"] * 3) if environ["PATH_INFO"] == "/export" else Whole([b"ok"])

    # Like the portal's pages, these have no tenant.
    bridge = Bridge(export, threads=2)

    async def crowd() -> None:
        begun, go = asyncio.Semaphore(0), asyncio.Event()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def read() -> int:
            said: list[Any] = []

            async def send(message: Any) -> None:
                said.append(message)
                begun.release()
                await go.wait()

            await bridge(scope_of("/export"), receive, send)
            return int(said[0]["status"])

        readers = [asyncio.ensure_future(read()) for _ in range(60)]
        for _ in readers:
            await asyncio.wait_for(begun.acquire(), timeout=10)
        assert (await asyncio.wait_for(ask(bridge, "/page"), timeout=10))[0] == 200
        go.set()
        answers = await asyncio.wait_for(asyncio.gather(*readers), timeout=30)
        assert sorted(answers) == [200] * WAITING_THREADS + [503] * (60 - WAITING_THREADS)
        # Their places are free again.
        assert await asyncio.wait_for(read(), timeout=10) == 200

    asyncio.run(crowd())
