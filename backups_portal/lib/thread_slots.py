"""Slots of threads that work on requests: of a server, and of each of its tenants.

A tenant whose requests all wait for something slow would otherwise take every thread.
"""

import asyncio
from typing import NamedTuple
from weakref import WeakValueDictionary


class Slot(NamedTuple):
    """The right to one thread, within a tenant's limit and the server's."""

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
        """Let another request have the thread."""
        self.shared.release()
        self.own.release()


class Slots:
    """The slots of a server.

    Args:
        threads: How many requests are worked on at a time.
        each: How many of them may be one tenant's.
    """

    def __init__(self, threads: int, each: int) -> None:
        self._each = each
        self._shared = asyncio.Semaphore(threads)
        # A tenant without requests has no entry: anybody can invent names of tenants.
        self._own: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, tenant: str) -> Slot:
        """Return a slot to acquire for a tenant; "" has no limit of its own."""
        own = self._own.get(tenant) or asyncio.Semaphore(self._each)
        if tenant:
            self._own[tenant] = own
        return Slot(own, self._shared)
