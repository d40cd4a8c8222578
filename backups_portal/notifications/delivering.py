"""Sending one delivery: claim it, send it, and write down what came of it."""

import logging
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from backups_portal.lib.leases import message_counts_for
from backups_portal.notifications.channels import send
from backups_portal.notifications.errors import UndeliveredError, UnwantedError
from backups_portal.notifications.models import Delivery

log = logging.getLogger(__name__)

State = Delivery.State
# Longer than the task may take (settings.CELERY_TASK_ANNOTATIONS): it needs no renewing.
LEASE = timedelta(minutes=2)
KEPT = timedelta(days=30)
AT_A_TIME = 1_000
TOO_LONG = "It took too long."
UNEXPECTED = "Something went wrong on our side; the operators find the details in the log."


def deliver(delivery_id: UUID) -> None:
    """Send a delivery that waits; a second call at the same time, or after it, does nothing.

    One whose worker was lost in the middle is sent again, with the same id.
    """
    too_early = Q(state=State.QUEUED, retry_at__gt=timezone.now())
    ticket = Delivery.objects.exclude(too_early).claim(
        delivery_id, states=list(Delivery.UNFINISHED), to=State.RUNNING, lease=LEASE
    )
    if ticket is None:
        log.info("delivery is done, waits, or is somebody else's delivery=%s", delivery_id)
        return
    delivery = Delivery.objects.select_related("project", "account").filter(pk=delivery_id).first()
    if delivery is not None:
        _send(delivery, ticket)


def _send(delivery: Delivery, ticket: UUID) -> None:
    try:
        send(delivery)
    except UnwantedError as error:
        _end(delivery, ticket, State.DROPPED, str(error))
    except UndeliveredError as error:
        _try_later(delivery, ticket, str(error))
    except SoftTimeLimitExceeded:
        _try_later(delivery, ticket, TOO_LONG)
    except Exception:
        _try_later(delivery, ticket, UNEXPECTED)
        raise
    else:
        _end(delivery, ticket, State.SENT, "")


def send_again(now: datetime) -> list[UUID]:
    """Deliveries whose time to be tried again has come, or whose message or worker was lost.

    They are for the caller to enqueue.
    """
    waiting = Delivery.objects.all().unfinished().order_by("created_at")
    return waiting.send_again(now, counts_for=message_counts_for(), limit=AT_A_TIME)


def forget_deliveries(now: datetime) -> int:
    """Delete those that are older than they are kept, some thousand at a time; how many."""
    old = Delivery.objects.filter(created_at__lt=now - KEPT).order_by("created_at")
    gone = 0
    while ids := list(old.values_list("pk", flat=True)[:AT_A_TIME]):
        gone += Delivery.objects.filter(pk__in=ids).delete()[0]
    return gone


def _try_later(delivery: Delivery, ticket: UUID, reason: str) -> None:
    """Queue it for later, or say that it failed. The tick finds what waits."""
    waits: list[int] = settings.NOTIFICATION_RETRY_MINUTES
    if delivery.attempts > len(waits):
        log.warning("notification failed delivery=%s: %s", delivery.pk, reason)
        _end(delivery, ticket, State.FAILED, reason)
        return
    then = timezone.now() + timedelta(minutes=waits[delivery.attempts - 1])
    _store(delivery, ticket, state=State.QUEUED, reason=reason, retry_at=then, lease_until=then)
    log.info("notification is sent again delivery=%s at=%s: %s", delivery.pk, then, reason)


def _end(delivery: Delivery, ticket: UUID, state: str, reason: str) -> None:
    now = timezone.now()
    _store(delivery, ticket, state=state, reason=reason, finished_at=now, lease_until=None)
    log.info("notification ended delivery=%s state=%s", delivery.pk, state)


def _store(delivery: Delivery, ticket: UUID, **fields: Any) -> None:
    ours = Delivery.objects.filter(pk=delivery.pk, lease=ticket)
    if not ours.update(lease=None, **fields):
        log.warning("delivery was taken over delivery=%s", delivery.pk)
