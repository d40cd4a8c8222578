"""Every step of writing the ledger is idempotent."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from backups_portal.billing.charge_ledger import (
    charge_creation,
    current_quote,
    start_running,
    stop_running,
)
from backups_portal.billing.models import Charge
from backups_portal.billing.prices import Quote
from tests import factories

pytestmark = pytest.mark.django_db
QUOTE = Quote(Decimal(25), Decimal("0.068"), "USD")


def test_quote_comes_from_the_settings(settings) -> None:
    settings.PROJECT_CREATION_FEE, settings.CURRENCY = Decimal("9.90"), "EUR"
    quote = current_quote()
    assert (quote.creation_fee, quote.currency) == (Decimal("9.90"), "EUR")


def test_creation_is_charged_once() -> None:
    project = factories.make_project_row()
    first = charge_creation(project=project, quote=QUOTE, reason="Restored")
    dearer = Quote(Decimal(99), Decimal(1), "USD")
    assert charge_creation(project=project, quote=dearer, reason="again") == first
    assert Charge.objects.get().unit_price == Decimal("25.0000")


def test_one_running_charge_counts_at_a_time() -> None:
    project = factories.make_project_row()
    first = start_running(project=project, quote=QUOTE, reason="Created")
    assert start_running(project=project, quote=QUOTE, reason="again") == first
    stop_running(project=project, at=timezone.now())
    assert start_running(project=project, quote=QUOTE, reason="Started again") != first


def test_stopping_twice_keeps_the_first_end() -> None:
    project = factories.make_project_row()
    charge = start_running(project=project, quote=QUOTE, reason="")
    end = charge.starts_at + timedelta(hours=1)
    stop_running(project=project, at=end)
    stop_running(project=project, at=end + timedelta(days=1))
    charge.refresh_from_db()
    assert charge.ends_at == end


def test_stop_before_the_start_costs_nothing() -> None:
    project = factories.make_project_row()
    charge = start_running(project=project, quote=QUOTE, reason="")
    stop_running(project=project, at=charge.starts_at - timedelta(days=1))
    charge.refresh_from_db()
    assert charge.ends_at == charge.starts_at


def test_a_clock_that_is_set_back_charges_no_hour_twice() -> None:
    project = factories.make_project_row()
    first = start_running(project=project, quote=QUOTE, reason="")
    # The clock was an hour fast when the project was shut down.
    stop_running(project=project, at=first.starts_at + timedelta(hours=1))
    first.refresh_from_db()
    again = start_running(project=project, quote=QUOTE, reason="Started again")
    assert again.starts_at == first.ends_at


def charge(**fields: object) -> Charge:
    project = factories.make_project_row()
    values = {
        "project_id": project.pk,
        "project_name": project.name,
        "kind": "running",
        "unit_price": "1",
        "currency": "USD",
    }
    return Charge.objects.create(**{**values, **fields})


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("charge_price_not_negative", {"unit_price": "-1"}),
        ("charge_ends_after_start", {"ends_at": timezone.now() - timedelta(days=1)}),
    ],
)
def test_database_refuses_an_impossible_charge(constraint: str, fields: dict) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        charge(**fields)


@pytest.mark.parametrize(
    ("constraint", "kind"),
    [("charge_creation_once", "creation"), ("charge_running_once", "running")],
)
def test_database_refuses_a_second_charge(constraint: str, kind: str) -> None:
    first = charge(kind=kind)
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        charge(kind=kind, project_id=first.project_id)
