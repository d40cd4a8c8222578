"""The time that all workers share."""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """Return the time by the control database's clock.

    Code that deletes by age uses it: on a machine whose own clock runs ahead, everything would
    seem old.
    """
    with connection.cursor() as cursor:
        # Not now(), which is constant within a transaction.
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
    return found
