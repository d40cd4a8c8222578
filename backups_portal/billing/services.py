"""Writing the ledger."""

from datetime import datetime
from typing import Any, Protocol

from django.conf import settings
from django.db.models import F, Value
from django.db.models.functions import Greatest

from backups_portal.billing.models import Charge
from backups_portal.billing.prices import Quote


class Billed(Protocol):
    """The project that pays."""

    id: Any
    name: Any


def current_quote() -> Quote:
    """What a new project costs today."""
    return Quote(
        creation_fee=settings.PROJECT_CREATION_FEE,
        running_fee_per_hour=settings.PROJECT_RUNNING_FEE_PER_HOUR,
        currency=settings.CURRENCY,
    )


def charge_creation(*, project: Billed, quote: Quote, reason: str) -> Charge:
    """Charge a project's creation. Repeating it changes nothing and returns the first charge."""
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
    """Let a project's running charge count from now. One that counts already goes on."""
    charge, _ = Charge.objects.get_or_create(
        project_id=project.id,
        kind=Charge.Kind.RUNNING,
        ends_at=None,
        defaults={
            "project_name": project.name,
            "unit_price": quote.running_fee_per_hour,
            "currency": quote.currency,
            "reason": reason,
        },
    )
    return charge


def stop_running(*, project: Billed, at: datetime) -> None:
    """End a project's running charge; a moment before its start ends it at its start."""
    Charge.objects.filter(project_id=project.id, kind=Charge.Kind.RUNNING, ends_at=None).update(
        ends_at=Greatest(Value(at), F("starts_at"))
    )
