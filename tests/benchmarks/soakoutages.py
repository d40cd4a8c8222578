"""When PostgreSQL or Redis were away by our own doing, and errors that this explains."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

# Until who had a connection has noticed, and has a new one.
GRACE_SECONDS = 5.0


@dataclass
class Outages:
    """What was away, and when.

    Attributes:
        spans: Server, beginning and end by the monotonic clock; the last one may still go on.
        unexplained: Errors of the benchmark's own calls at other times.
        offset: What the monotonic clock lacks to seconds since 1970.
    """

    spans: list[tuple[str, float, float]] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    offset: float = field(default_factory=lambda: time.time() - time.monotonic())

    @contextmanager
    def of(self, server: str) -> Iterator[None]:
        """An outage, while the context lasts."""
        begin = time.monotonic()
        self.spans.append((server, begin, float("inf")))
        try:
            yield
        finally:
            self.spans[-1] = (server, begin, time.monotonic())

    def touch(self, begin: float, end: float, *, server: str = "") -> bool:
        """Whether something that lasted so long met an outage, of any server or of this one."""
        return any(
            begin < until + GRACE_SECONDS and end > since
            for name, since, until in self.spans
            if server in ("", name)
        )

    @contextmanager
    def borne(self) -> Iterator[None]:
        """Bear that a server is away; who calls tries again later."""
        from django.db import Error, connection
        from kombu.exceptions import OperationalError
        from psycopg import Error as DriverError
        from redis.exceptions import RedisError

        begin = time.monotonic()
        try:
            yield
        except (Error, DriverError, OperationalError, RedisError) as error:
            if not self.touch(begin, time.monotonic()):
                self.unexplained.append(f"{type(error).__name__}: {error}".strip())
            connection.close()
