"""The time that all workers share."""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """Return the time by the control database's clock.

    What deletes asks for it: a machine whose own clock runs ahead must not think that everything
    is old.
    """
    with connection.cursor() as cursor:
        # Not now(), which stands still within a transaction.
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
    return found
