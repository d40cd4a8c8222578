"""Work that must run once although its message may arrive twice: a lease on its row."""

import uuid
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone


class LeaseLostError(Exception):
    """Somebody else took the work over: stop, and publish nothing."""


def message_counts_for() -> timedelta:
    """How long a message may wait in the broker before it is thought lost."""
    return 5 * settings.LEASE


class LeaseQuerySet(models.QuerySet[Any]):
    """Claims of rows that carry a lease."""

    def unleased(self) -> Self:
        """Rows that nobody works on now."""
        return self.filter(Q(lease=None) | Q(lease_until=None) | Q(lease_until__lt=timezone.now()))

    def send_again(self, now: datetime, *, counts_for: timedelta, limit: int) -> list[uuid.UUID]:
        """Rows whose message may have been lost, or whose worker was; the caller enqueues them.

        A message counts for a while: until then `lease_until` of a waiting row, which has no lease,
        keeps it from being sent again every minute, and a long queue from growing longer.
        """
        overlooked = self.filter(Q(lease_until=None) | Q(lease_until__lt=now))
        with transaction.atomic():
            ids = list(
                overlooked.select_for_update(skip_locked=True).values_list("pk", flat=True)[:limit]
            )
            # A row with a lease keeps it: its worker may only be late, and renews it then.
            self.filter(pk__in=ids, lease=None).update(lease_until=now + counts_for)
        return ids

    def claim(
        self, pk: uuid.UUID, *, states: list[str], to: str, lease: timedelta
    ) -> uuid.UUID | None:
        """Take the row if it is still in one of the states and nobody works on it.

        Returns:
            The lease to renew and to finish with, or None where the work is somebody else's.
        """
        ticket = uuid.uuid4()
        taken = (
            self.unleased()
            .filter(pk=pk, state__in=states)
            .update(
                state=to,
                lease=ticket,
                lease_until=timezone.now() + lease,
                attempts=F("attempts") + 1,
            )
        )
        return ticket if taken else None

    def renew(self, pk: uuid.UUID, ticket: uuid.UUID, *, lease: timedelta, **fields: Any) -> None:
        """Keep the row, and store how far the work has come.

        Raises:
            LeaseLostError: the row went to another worker, or is gone.
        """
        kept = self.filter(pk=pk, lease=ticket).update(lease_until=timezone.now() + lease, **fields)
        if not kept:
            raise LeaseLostError(str(pk))


class Leased(models.Model):
    """A row that one worker at a time may work on."""

    lease = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)

    class Meta:
        abstract = True
