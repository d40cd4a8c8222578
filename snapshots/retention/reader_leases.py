"""Leases of readers: retention waits while a backup is being downloaded.

A reader whose process was killed stops renewing, so its lease runs out. A row has one lease per
reader, identified by its end: if two end at once, it does not matter which one is released.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Self

from django.db import connection, transaction
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.lib.database_outage import DJANGO_ERRORS
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.access import Permission, RightLostError, hold_right
from snapshots.models import Snapshot, SnapshotQuerySet

log = get_logger(__name__)

# A client that has taken no piece for this long is gone.
LEASE = timedelta(hours=1)
RENEWAL_SECONDS = 60.0
# The longest that retention waits, even for a client that still takes a piece now and then.
MAX_LEASE = timedelta(days=1)


class ReaderLease:
    """A lease that keeps retention from a snapshot while one reader needs it."""

    def __init__(self, snapshot: Snapshot, reader: Account) -> None:
        self._snapshot, self._reader = snapshot, reader
        self._since = timezone.now()
        self._until: datetime | None = None

    def extend(self) -> bool:
        """Keep the snapshot for a while; False if it is no longer stored."""
        until = min(timezone.now() + LEASE, self._since + MAX_LEASE)
        return self._replace(Snapshot.objects.completed(), [until])

    def renew(self) -> None:
        """Extend the lease if the control database responds.

        Raises:
            RightLostError: the reader may no longer have the snapshot.
        """
        try:
            self._check_right()
            self.extend()
        except DJANGO_ERRORS:
            # The database may be restarting: the lease outlasts many missed renewals.
            self._give_up("could not renew a reader's lease")

    def release(self) -> None:
        """Leave the snapshot to retention, unless it has another reader."""
        try:
            self._replace(Snapshot.objects.all(), [])
        except DJANGO_ERRORS:
            self._give_up("could not release a reader's lease")

    def _check_right(self) -> None:
        """Check again what was checked when the file was begun, maybe hours ago."""
        try:
            with transaction.atomic():
                hold_right(self._reader, Permission.MANAGE_BACKUPS, self._snapshot.project)
        except RightLostError as lost:
            self._snapshot.record("snapshot.download_broken", self._reader, reason=str(lost))
            raise

    @transaction.atomic
    def _replace(self, rows: SnapshotQuerySet, leases: list[datetime]) -> bool:
        """Replace this reader's lease; False if the snapshot is not in `rows`."""
        rows = rows.filter(pk=self._snapshot.pk)
        # The row lock makes retention either come first or see the lease.
        locked = rows.select_for_update(no_key=True).only("reader_leases").first()
        if locked is None:
            return False
        if self._until in locked.reader_leases:
            locked.reader_leases.remove(self._until)
        now = timezone.now()
        kept = [until for until in locked.reader_leases if until > now] + leases
        rows.update(reader_leases=kept, read_until=max(kept, default=None))
        self._until = leases[0] if leases else None
        return True

    def _give_up(self, what: str) -> None:
        log.warning(what, snapshot=self._snapshot.pk, exc_info=True)
        connection.close()


class LeasedFile:
    """The pieces of a file, under a lease that is renewed while it is sent.

    Args:
        held: Releases the lease, and whatever else the file needs while it is sent.
    """

    def __init__(self, lease: ReaderLease, pieces: Iterator[bytes], held: ExitStack) -> None:
        self._lease, self._pieces, self._held = lease, pieces, held
        self._renewed = time.monotonic()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        try:
            if time.monotonic() - self._renewed > RENEWAL_SECONDS:
                self._lease.renew()
                self._renewed = time.monotonic()
            return next(self._pieces)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release what is held; the web server also calls it after failures."""
        with self._held:
            close = getattr(self._pieces, "close", None)
            if close:
                close()


def lease_to_reader(snapshot: Snapshot, reader: Account) -> ReaderLease | None:
    """Keep a stored snapshot for a reader; None if it is no longer stored."""
    lease = ReaderLease(snapshot, reader)
    return lease if lease.extend() else None
