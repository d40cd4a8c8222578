"""Leases on rows: work is done once though its message may arrive twice.

The control database's clock decides, so that the clocks of workers and of beat may differ.
"""

import uuid
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from backups_portal.lib.failure_causes import CAUSE_LENGTH

# The unfinished states that every leased row has; all others are final.
QUEUED, RUNNING = "queued", "running"
DAYS = timedelta(days=2)


class LeaseLostError(Exception):
    """Another worker holds the row, or it was deleted: stop, publish nothing."""


def message_counts_for() -> timedelta:
    """Return how long a message may wait before it counts as lost."""
    return 5 * settings.LEASE


def longest_wait() -> timedelta:
    """Return more than any wait, with these settings.

    A time further ahead was written by a clock that ran ahead.
    """
    retries = (
        settings.SNAPSHOT_RETRY_MINUTES,
        settings.RESTORE_RETRY_MINUTES,
        # A receiver may ask for one pause as long as all of them.
        settings.NOTIFICATION_RETRY_MINUTES,
    )
    minutes = timedelta(minutes=max(map(sum, retries)))
    return DAYS + minutes + settings.SNAPSHOT_SPREAD + message_counts_for()


class LeaseQuerySet(models.QuerySet[Any]):
    """Rows that carry a lease."""

    def unfinished(self) -> Self:
        """Keep the rows that are queued or running."""
        return self.filter(state__in=(QUEUED, RUNNING))

    def unleased(self) -> Self:
        """Keep the rows without a valid lease."""
        return self.filter(Q(lease=None) | _is_over(Now()))

    def without_early(self, now: datetime) -> Self:
        """Leave out the queued rows whose retry is not due yet."""
        return self.exclude(Q(state=QUEUED, retry_at__gt=now, retry_at__lt=now + longest_wait()))

    def send_again(self, now: datetime, *, limit: int) -> list[uuid.UUID]:
        """Find rows whose message or worker may have been lost.

        The caller enqueues them. A message counts for a while: until then `lease_until` keeps a
        queued row, which has no lease, from being sent again every minute, and so a long queue
        from growing longer.
        """
        overlooked = self.filter(_is_over(now))
        with transaction.atomic():
            ids = list(
                overlooked.select_for_update(skip_locked=True).values_list("pk", flat=True)[:limit]
            )
            # A leased row keeps its lease: its worker may only be late to renew it.
            until = now + message_counts_for()
            self.filter(pk__in=ids, lease=None).update(lease_until=until)
        return ids

    def claim(self, pk: uuid.UUID, *, lease: timedelta, **fields: object) -> uuid.UUID | None:
        """Claim a row if it is unfinished and no worker holds it.

        Args:
            fields: Further values to store.

        Returns:
            The ticket to renew and finish with, or None if the row cannot be claimed.
        """
        ticket = uuid.uuid4()
        taken = (
            self.unleased()
            .unfinished()
            .filter(pk=pk)
            .update(
                state=RUNNING,
                lease=ticket,
                lease_until=Now() + lease,
                attempts=F("attempts") + 1,
                **fields,
            )
        )
        return ticket if taken else None

    def renew(
        self, pk: uuid.UUID, ticket: uuid.UUID, *, lease: timedelta, **fields: object
    ) -> None:
        """Extend the lease of a row, and store its progress.

        Raises:
            LeaseLostError: another worker has the row, or it was deleted.
        """
        self.store(pk, ticket, lease_until=Now() + lease, **fields)

    def store(self, pk: uuid.UUID, ticket: uuid.UUID, **fields: object) -> None:
        """Change a row if the ticket still holds its lease.

        Raises:
            LeaseLostError: another worker has the row, or it was deleted.
        """
        if not self.filter(pk=pk, lease=ticket).update(**fields):
            raise LeaseLostError(str(pk))


def _is_over(now: datetime | Now) -> Q:
    """Select the rows whose lease, message or wait is over."""
    until = Q(lease_until=None) | Q(lease_until__lt=now)
    return until | Q(lease_until__gt=now + longest_wait())


class Leased(models.Model):
    """A row that one worker at a time may work on."""

    UNFINISHED = (QUEUED, RUNNING)

    lease = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    # Why it failed, in a sentence for owners; for a queued row, why its last attempt failed.
    reason = models.TextField(blank=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True


class Retried(Leased):
    """A leased row that is queued again some time after it failed."""

    cause = models.CharField(max_length=CAUSE_LENGTH, blank=True, default="", db_default="")
    # How often it failed and was queued again, and the earliest time of the next attempt.
    failures = models.PositiveSmallIntegerField(default=0)
    retry_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True
