"""Slots of threads that work on requests: of a server, and of each of its tenants.

A tenant whose requests all wait for something slow would otherwise take every thread.
"""

import asyncio
from contextlib import ExitStack
from typing import NamedTuple
from weakref import WeakValueDictionary


class Limit(NamedTuple):
    """A place within a tenant's limit and within the server's."""

    own: asyncio.Semaphore
    shared: asyncio.Semaphore

    async def acquire(self) -> None:
        """Wait without a thread: for the tenant's limit first, then for the server's."""
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


class Limits:
    """The limits of all tenants.

    Args:
        total: The limit of the server.
        each: The limit of one tenant.
    """

    def __init__(self, total: int, each: int) -> None:
        self._each = each
        self._shared = asyncio.Semaphore(total)
        # A tenant without requests has no entry: anybody can invent names of tenants.
        self._own: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, tenant: str) -> Limit:
        """Return the limit of a tenant; "" has no limit of its own."""
        own = self._own.get(tenant) or asyncio.Semaphore(self._each)
        if tenant:
            self._own[tenant] = own
        return Limit(own, self._shared)


class Slot:
    """The right to one thread.

    Args:
        client: A place among the requests that keep a thread while it waits for a client.
        thread: Held until the work has ended. It is taken before a turn: if requests took a turn
            and then waited for a thread, they would wait for threads that wait for their turns.
        turn: Held while the thread works, and not while it waits for a client.
        reads_body: Whether the thread reads the request's body from its client.
    """

    def __init__(self, client: Limit, thread: Limit, turn: Limit, *, reads_body: bool) -> None:
        self.turn = turn
        self._client = client
        self._limits = (client, thread, turn) if reads_body else (thread, turn)
        self._held = ExitStack()

    async def acquire(self) -> None:
        """Wait for a thread, and for its turn."""
        with ExitStack() as held:
            for limit in self._limits:
                await limit.acquire()
                held.callback(limit.release)
            self._held = held.pop_all()

    def release(self) -> None:
        """Give back all that is held."""
        self._held.close()

    async def keep_for_client(self) -> bool:
        """Keep the thread while a client reads; False if too many do, without waiting."""
        if self._client in self._limits:
            return True
        if self._client.is_full():
            return False
        await self._client.acquire()
        self._held.callback(self._client.release)
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
        self._clients = Limits(waiting, waiting * 3 // 4)
        self._threads = Limits(threads + waiting, each + waiting * 3 // 4)
        self._turns = Limits(threads, each)

    def of(self, tenant: str, *, reads_body: bool = False) -> Slot:
        """Return a slot to acquire for a tenant; "" has only the server's limits."""
        limits = (self._clients.of(tenant), self._threads.of(tenant), self._turns.of(tenant))
        return Slot(*limits, reads_body=reads_body)
