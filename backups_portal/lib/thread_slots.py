"""Slots of threads that work on requests: of a server, and of each of its tenants.

A tenant whose requests all wait for something slow would otherwise take every thread.
"""

import asyncio
from contextlib import ExitStack
from typing import NamedTuple
from weakref import WeakValueDictionary


class Limit:
    """A place within several limits.

    Args:
        semaphores: In the order in which they are acquired: a tenant's before the server's.
    """

    def __init__(self, *semaphores: asyncio.Semaphore) -> None:
        self.semaphores = semaphores

    async def acquire(self) -> None:
        """Wait without a thread for one after the other."""
        with ExitStack() as held:
            for semaphore in self.semaphores:
                await semaphore.acquire()
                held.callback(semaphore.release)
            held.pop_all()

    def release(self) -> None:
        """Let another request in."""
        for semaphore in reversed(self.semaphores):
            semaphore.release()


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
        waiting: How many more threads may wait for clients; a tenant may have 3/4 of them. As many
            requests may have bodies that threads read: however slow they are, others go on.
    """

    def __init__(self, threads: int, each: int, waiting: int) -> None:
        self._bodies = Limits(waiting, waiting * 3 // 4)
        self._threads = Limits(threads + waiting, each + waiting * 3 // 4)
        self._turns = Limits(threads, each)

    def of(self, tenant: str, *, reads_body: bool = False) -> Slot:
        """Return a slot to acquire for a tenant; "" has only the server's limits.

        Args:
            reads_body: Whether the thread reads the request's body from its client.
        """
        thread = self._threads.of(tenant)
        if reads_body:
            thread = Limit(*self._bodies.of(tenant).semaphores, *thread.semaphores)
        return Slot(thread, self._turns.of(tenant))
