"""Slots of threads that work on requests: of a server, and of each of its tenants.

A tenant whose requests all wait for something slow would otherwise take every thread.
"""

import asyncio
from typing import NamedTuple
from weakref import WeakValueDictionary


class Limit(NamedTuple):
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


class Slot(NamedTuple):
    """The right to one thread.

    Attributes:
        thread: Held until the work has ended. It is taken first: if requests took a turn and then
            waited for a thread, they would wait for threads that wait for their turns.
        turn: Held while the thread works, and not while it waits for a client.
    """

    thread: Limit
    turn: Limit

    async def acquire(self) -> None:
        """Wait for a thread, and for its turn."""
        await self.thread.acquire()
        try:
            await self.turn.acquire()
        except BaseException:
            self.thread.release()
            raise

    def release(self) -> None:
        """Give both back."""
        self.turn.release()
        self.thread.release()


class Slots:
    """The slots of a server.

    Args:
        threads: How many requests are worked on at a time.
        each: How many of them may be one tenant's.
        waiting: How many more threads may wait for clients; a tenant may have 3/4 of them.
    """

    def __init__(self, threads: int, each: int, waiting: int) -> None:
        self._threads = Limits(threads + waiting, each + waiting * 3 // 4)
        self._turns = Limits(threads, each)

    def of(self, tenant: str) -> Slot:
        """Return a slot to acquire for a tenant; "" has only the server's limits."""
        return Slot(self._threads.of(tenant), self._turns.of(tenant))
