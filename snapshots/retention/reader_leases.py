"""Leases of readers: retention waits for a backup that is being downloaded.

A reader whose process was killed renews nothing, and its lease runs out. A row has room for the
longest lease: of two readers, the one that ends leaves that of the other. At worst, one that has
ended already is left until it runs out.
"""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Self

from django.db import connection, transaction
from django.utils import timezone

from backups_portal.lib.database_outage import DJANGO_ERRORS
from backups_portal.lib.loggers import get_logger
from snapshots.models import Snapshot

log = get_logger(__name__)

# A client that takes no piece for so long has gone.
LEASE = timedelta(hours=1)
RENEWAL_SECONDS = 60.0
# A client that takes a piece now and then is waited for no longer.
LONGEST = timedelta(days=1)


class ReaderLease:
    """What keeps retention from a stored snapshot while one reader needs it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._since = timezone.now()
        self._until: datetime | None = None
        self._others: datetime | None = None

    @transaction.atomic
    def extend(self) -> bool:
        """Keep the snapshot for a while; False if it is not stored any more."""
        # The row's lock lets retention come first or see the lease.
        rows = Snapshot.objects.completed().filter(pk=self._snapshot.pk)
        found = list(rows.select_for_update(no_key=True).values_list("read_until", flat=True))
        if not found:
            return False
        if found[0] != self._until:
            self._others = found[0]
        until = min(timezone.now() + LEASE, self._since + LONGEST)
        until = max(until, self._others or until)
        rows.update(read_until=until)
        self._until = until
        return True

    def renew(self) -> None:
        """Keep the snapshot for another while, if the control database responds."""
        try:
            self.extend()
        except DJANGO_ERRORS:
            # It may be restarting: the lease outlasts many missed renewals.
            self._give_up("could not renew a reader's lease")

    def release(self) -> None:
        """Leave the snapshot to retention, unless somebody else reads it."""
        rows = Snapshot.objects.filter(pk=self._snapshot.pk, read_until=self._until)
        try:
            rows.update(read_until=self._others)
        except DJANGO_ERRORS:
            self._give_up("could not release a reader's lease")

    def _give_up(self, what: str) -> None:
        log.warning(what, snapshot=self._snapshot.pk, exc_info=True)
        connection.close()


class LeasedFile:
    """The pieces of a file, under a lease that is renewed, and released at the end."""

    def __init__(self, lease: ReaderLease, pieces: Iterator[bytes]) -> None:
        self._lease: ReaderLease | None = lease
        self._pieces = pieces
        self._renewed = time.monotonic()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if self._lease and time.monotonic() - self._renewed > RENEWAL_SECONDS:
            self._lease.renew()
            self._renewed = time.monotonic()
        try:
            return next(self._pieces)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release the lease; the web server calls this whatever becomes of the file."""
        if self._lease:
            self._lease.release()
            self._lease = None
        close = getattr(self._pieces, "close", None)
        if close:
            close()


def lease_to_reader(snapshot: Snapshot) -> ReaderLease | None:
    """Keep a stored snapshot for a reader; None if it is not stored any more."""
    lease = ReaderLease(snapshot)
    return lease if lease.extend() else None
