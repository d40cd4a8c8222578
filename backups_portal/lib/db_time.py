"""The time that all workers share."""

from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from backups_portal.lib.loggers import get_logger

log = get_logger(__name__)

# Clocks that are kept by NTP differ by far less.
MAX_DIFFERENCE = timedelta(minutes=5)


def database_now() -> datetime:
    """Return the time by the control database's clock."""
    with connection.cursor() as cursor:
        # Not now(), which is constant within a transaction.
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
    return found


def earlier_now() -> datetime:
    """Return the earlier of the control database's and this machine's time.

    Code that deletes by age uses it: to a clock that runs ahead, everything would seem old.
    """
    shared, own = database_now(), timezone.now()
    if abs(shared - own) > MAX_DIFFERENCE:
        log.error(
            "the clocks of this machine and of the portal's database differ: correct the wrong one",
            own=own,
            database=shared,
        )
    return min(shared, own)
