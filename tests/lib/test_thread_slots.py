"""No tenant of a server takes all of its threads."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from backups_portal.lib.thread_slots import Slots
from backups_portal.lib.wsgi_bridge import Bridge
from tests.lib.test_lanes import Blocked, ask


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
        slots = Slots(threads=1, each=1)
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
