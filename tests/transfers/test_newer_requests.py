"""Workers leave to newer workers what only a newer version knows."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from backups_portal.lib.leased_job import NEWER, LeasedJob
from backups_portal.lib.leases import Leased
from backups_portal.notifications import delivery
from backups_portal.notifications.delivery import DeliveryJob
from backups_portal.notifications.models import Delivery
from backups_portal.transfers.csv_files.csv_job import CsvJob
from backups_portal.transfers.models import CsvRequest, Transfer
from backups_portal.transfers.plan.selection import Choice
from backups_portal.transfers.transfer_run import TransferJob
from tests.factories import make_project_row, make_transfer

pytestmark = pytest.mark.django_db
CHOICE = Choice().as_json()


def transfer(**fields: Any) -> Transfer:
    source = make_project_row()
    target = make_project_row(owner=source.created_by)
    return make_transfer(source, target, requested_by=source.created_by, **fields)


def csv_request() -> CsvRequest:
    return CsvRequest.objects.create(
        project=make_project_row(), work="check", device="0" * 24, path="/new.csv"
    )


def message(**fields: Any) -> Delivery:
    known = {"kind": "failed", "channel": "webhook", **fields}
    return Delivery.objects.create(project=make_project_row(), event_id=1, **known)


REQUESTS: dict[str, tuple[type[LeasedJob[Any]], Callable[[], Leased]]] = {
    "a choice": (
        TransferJob,
        lambda: transfer(choice={**CHOICE, "newest_first": True}),
    ),
    "a value": (TransferJob, lambda: transfer(choice={**CHOICE, "rule": "merge"})),
    "a kind of resource": (TransferJob, lambda: transfer(choice={**CHOICE, "kinds": ["widget"]})),
    "work": (TransferJob, lambda: transfer(work="merge")),
    "work on a file": (CsvJob, csv_request),
    "a message": (DeliveryJob, lambda: message(kind="news")),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_worker_leaves_it_to_newer_ones(
    name: str, monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    monkeypatch.setattr(delivery, "send", lambda row: pytest.fail(f"sent {row}"))
    job, make = REQUESTS[name]
    row: Any = make()
    before = (row.state, row.attempts, row.finished_at)
    ran = job(*([row.pk, None] if job is TransferJob else [row.pk])).run()
    assert not ran.is_claimed
    row.refresh_from_db()
    assert (row.state, row.attempts, row.finished_at) == before
    assert (row.lease, row.reason) == (None, NEWER)
    if isinstance(row, Transfer):
        client.force_login(row.requested_by)
        page = client.get(f"/projects/{row.source.slug}/transfers/{row.pk}/")
        assert NEWER in page.content.decode()
        assert client.get(f"/projects/{row.source.slug}/transfers/").status_code == 200


@pytest.mark.parametrize("ready", ["ready", "paused"])
def test_a_page_shows_its_end_all_the_same(ready: str, client: Client) -> None:
    row = transfer(state=ready, work="merge", choice={**CHOICE, "rule": "merge"})
    client.force_login(row.requested_by)
    assert row.source
    page = client.get(f"/projects/{row.source.slug}/transfers/{row.pk}/")
    assert "Work of a newer version" in page.content.decode()
