"""Slots of threads that work on requests: of a server, and of each of its tenants.

A tenant whose requests all wait for something slow would otherwise take every thread.
"""

import asyncio
from contextlib import ExitStack
from typing import NamedTuple
from weakref import WeakValueDictionary


class Place(NamedTuple):
    """A place within a tenant's limit and within the server's."""

    own: asyncio.Semaphore
    shared: asyncio.Semaphore

    async def acquire(self) -> None:
        """Wait without a thread for the tenant's limit, then for the server's."""
        await self.own.acquire()
        try:
            await self.shared.acquire()
        except BaseException:
            self.own.release()
            raise

    def release(self) -> None:
        """Let another request in."""
        self.shared.release()
        self.own.release()

    def is_full(self) -> bool:
        """Tell whether `acquire` would wait."""
        return self.own.locked() or self.shared.locked()


class Places:
    """The places of all tenants.

    Args:
        total: The limit of the server.
        each: The limit of one tenant.
    """

    def __init__(self, total: int, each: int) -> None:
        self._each = each
        self._shared = asyncio.Semaphore(total)
        # A tenant without requests has no entry: anybody can invent names of tenants.
        self._own: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, tenant: str) -> Place:
        """Return the place of a tenant; "" has no limit of its own."""
        own = self._own.get(tenant) or asyncio.Semaphore(self._each)
        if tenant:
            self._own[tenant] = own
        return Place(own, self._shared)


class Slot:
    """The right to one thread.

    Args:
        client: A place among the requests that keep a thread while it waits for a client.
        gate: Held while waiting for the other two, so that one request of a tenant at a time waits
            with a thread: crowds of two tenants would otherwise hold all threads.
        thread: Held until the work has ended. It is taken before a turn: if requests took a turn
            and then waited for a thread, they would wait for threads that wait for their turns.
        turn: Held while the thread works, and not while it waits for a client.
        reads_body: Whether the thread reads the request's body from its client.
    """

    def __init__(
        self,
        client: Place,
        gate: asyncio.Semaphore,
        thread: Place,
        turn: Place,
        *,
        reads_body: bool,
    ) -> None:
        self.turn = turn
        self._client = client
        self._gate = gate
        self._thread = thread
        self._waits_for_client = reads_body

    async def acquire(self) -> None:
        """Wait for a thread, and for its turn."""
        with ExitStack() as held:
            if self._waits_for_client:
                await self._client.acquire()
                held.callback(self._client.release)
            async with self._gate:
                await self._thread.acquire()
                held.callback(self._thread.release)
                await self.turn.acquire()
            held.pop_all()

    def release(self) -> None:
        """Give back all that is held."""
        self.turn.release()
        self._thread.release()
        if self._waits_for_client:
            self._client.release()

    async def keep_for_client(self) -> bool:
        """Keep the thread while a client reads; False if too many do."""
        if not self._waits_for_client:
            if self._client.is_full():
                return False
            await self._client.acquire()
            self._waits_for_client = True
        return True


class Slots:
    """The slots of a server.

    Args:
        threads: How many requests are worked on at a time.
        each: How many of them may be one tenant's.
        waiting: How many more threads there are, and how many may wait for clients: however slow
            these are, `threads` are left to others. A tenant may have 3/4 of them.
    """

    def __init__(self, threads: int, each: int, waiting: int) -> None:
        self._clients = Places(waiting, waiting * 3 // 4)
        self._threads = Places(threads + waiting, each + waiting * 3 // 4)
        self._turns = Places(threads, each)
        # Only their own part is used.
        self._gates = Places(1, 1)

    def of(self, tenant: str, *, reads_body: bool = False) -> Slot:
        """Return a slot to acquire for a tenant; "" has only the server's limits."""
        return Slot(
            self._clients.of(tenant),
            self._gates.of(tenant).own,
            self._threads.of(tenant),
            self._turns.of(tenant),
            reads_body=reads_body,
        )
