"""Leases of readers: retention waits for a backup that is being downloaded.

A reader whose process was killed renews nothing, and its lease runs out.
"""

import time
from collections.abc import Iterator
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from backups_portal.lib.database_outage import DJANGO_ERRORS
from backups_portal.lib.loggers import get_logger
from snapshots.models import Snapshot

log = get_logger(__name__)

# A client that takes no piece for so long has gone.
LEASE = timedelta(hours=1)
RENEWAL_SECONDS = 60.0


def lease_to_reader(snapshot: Snapshot) -> bool:
    """Keep a stored snapshot for a while; False if it is not stored any more."""
    # The row's lock lets retention come first or see the lease.
    rows = Snapshot.objects.completed().filter(pk=snapshot.pk)
    return bool(rows.update(read_until=timezone.now() + LEASE))


def with_lease(snapshot: Snapshot, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the pieces of a file, and renew the reader's lease meanwhile."""
    renewed = time.monotonic()
    for piece in pieces:
        yield piece
        if time.monotonic() - renewed > RENEWAL_SECONDS:
            _renew(snapshot)
            renewed = time.monotonic()


def _renew(snapshot: Snapshot) -> None:
    try:
        lease_to_reader(snapshot)
    except DJANGO_ERRORS:
        # The control database may be restarting: the lease outlasts many missed renewals.
        log.warning("could not renew a reader's lease", snapshot=snapshot.pk, exc_info=True)
        connection.close()
