"""Commits to the target that are guarded by the right that the work needs."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from psycopg import Connection

# Raises if the right to the work was lost; otherwise holds the right while it is open.
Guard = Callable[[], AbstractContextManager[object]]


@contextmanager
def guarded(target: Connection, guard: Guard) -> Iterator[None]:
    """Open a transaction of the target, and hold the right across its commit.

    The right is in the control database: revoking it does not wait for rows that are being written,
    and nothing is committed afterwards.
    """
    with ExitStack() as held, target.transaction():
        yield
        held.enter_context(guard())
