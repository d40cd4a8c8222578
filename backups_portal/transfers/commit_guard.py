"""Guard commits to the target by the right that the work needs."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from psycopg import Connection

# Raises if the work may not be done any more, and holds the right while it is open.
Guard = Callable[[], AbstractContextManager[object]]


@contextmanager
def guarded(target: Connection, guard: Guard) -> Iterator[None]:
    """Open a transaction of the target, and hold the right across its commit.

    The right is kept in another database: taking it away while the rows are written does not wait
    for them, and nothing is committed afterwards.
    """
    with ExitStack() as held, target.transaction():
        yield
        held.enter_context(guard())
