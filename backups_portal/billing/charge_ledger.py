"""The ledger of charges."""

from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from django.db.models import F, Max, Value
from django.db.models.functions import Greatest
from django.utils import timezone

from backups_portal.billing.models import Charge
from backups_portal.billing.prices import Quote


class Billed(Protocol):
    """The project that is charged."""

    id: Any
    name: Any


def current_quote() -> Quote:
    """Return what a new project costs today."""
    return Quote(
        creation_fee=settings.PROJECT_CREATION_FEE,
        running_fee_per_hour=settings.PROJECT_RUNNING_FEE_PER_HOUR,
        currency=settings.CURRENCY,
    )


def charge_creation(*, project: Billed, quote: Quote, reason: str) -> Charge:
    """Charge a project's creation once; return the first charge."""
    charge, _ = Charge.objects.get_or_create(
        project_id=project.id,
        kind=Charge.Kind.CREATION,
        defaults={
            "project_name": project.name,
            "unit_price": quote.creation_fee,
            "currency": quote.currency,
            "reason": reason,
        },
    )
    return charge


def start_running(*, project: Billed, quote: Quote, reason: str) -> Charge:
    """Start a project's running charge, unless one is already running.

    It starts no earlier than the last one ended, in case that end came from a clock that ran ahead.
    """
    last = Charge.objects.filter(project_id=project.id).aggregate(at=Max("ends_at"))["at"]
    now = timezone.now()
    charge, _ = Charge.objects.get_or_create(
        project_id=project.id,
        kind=Charge.Kind.RUNNING,
        ends_at=None,
        defaults={
            "project_name": project.name,
            "unit_price": quote.running_fee_per_hour,
            "currency": quote.currency,
            "reason": reason,
            "starts_at": max(now, last or now),
        },
    )
    return charge


def running_charge(project_id: UUID) -> Charge | None:
    """Return a project's current running charge; None if it is not running."""
    running = Charge.objects.filter(project_id=project_id, kind=Charge.Kind.RUNNING)
    return running.filter(ends_at=None).first()


def stop_running(*, project: Billed, at: datetime) -> None:
    """End a project's running charge, no earlier than its start."""
    Charge.objects.filter(project_id=project.id, kind=Charge.Kind.RUNNING, ends_at=None).update(
        ends_at=Greatest(Value(at), F("starts_at"))
    )
