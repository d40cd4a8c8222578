"""Moments out of the portal's own database, read in C.

Django's driver takes each apart in Python, ten times slower; a page has fifty of them.
"""

from datetime import UTC, datetime
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from psycopg.abc import Buffer
from psycopg.types.datetime import TimestamptzLoader


class MomentLoader(TimestamptzLoader):
    """A moment as PostgreSQL writes it, in UTC; what Python does not read that way, psycopg may."""

    # Django asks a connection's loader for it, and would put its own in place of another zone's.
    timezone = UTC

    def load(self, data: Buffer) -> datetime:
        """The moment; a DataError where no datetime can be it, such as infinity."""
        try:
            return datetime.fromisoformat(str(data, "ascii")).astimezone(UTC)
        except ValueError:
            return super().load(data).astimezone(UTC)


def read_moments_in_c(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """What each new connection of Django's is told."""
    connection.connection.adapters.register_loader("timestamptz", MomentLoader)


connection_created.connect(read_moments_in_c)
