"""After a restore one click makes the dry run of moving the searched rows back."""

import re
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Project
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.plan.selection import Choice
from restores.models import Restore
from restores.sought_rows import SoughtRows
from tests import factories

pytestmark = pytest.mark.django_db
DEVICE = "ab" * 12
SOUGHT = SoughtRows(DEVICE, "Truck 07", date(2026, 3, 1))


@pytest.fixture
def owner(client: Client) -> Account:
    account = factories.make_account()
    client.force_login(account)
    return account


@pytest.fixture
def restore(owner: Account) -> Restore:
    """A restore made for a truck; neither database answers, which the dry run would report."""
    home = factories.make_project_row(owner=owner, name="Cold Chain")
    return factories.make_restore(
        factories.make_snapshot(home),
        requested_by=owner,
        state="completed",
        step="done",
        project=factories.make_project_row(owner=owner, name="Rescue"),
        sought=SOUGHT.as_json(),
    )


def press(client: Client, restore: Restore, key: object = "") -> HttpResponse:
    return client.post(f"/restores/{restore.pk}/move-back/", {"request_key": key})


def rescued(restore: Restore) -> Project:
    assert restore.project
    return restore.project


def test_what_was_looked_for_and_nothing_else_is_moved_back_once(
    client: Client, restore: Restore
) -> None:
    key = uuid.uuid4()
    first, second = press(client, restore, key), press(client, restore, key)
    transfer = Transfer.objects.get()
    assert first.url == second.url == f"/projects/{rescued(restore).slug}/transfers/{transfer.pk}/"
    assert (transfer.source, transfer.target) == (restore.project, restore.snapshot.project)
    assert (transfer.state, transfer.work) == ("queued", "plan")
    day = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    assert transfer.chosen() == Choice(devices=(DEVICE,), since=day[0], until=day[1])


def test_a_variable_of_several_days_is_moved_back(client: Client, restore: Restore) -> None:
    restore.remember(SoughtRows(DEVICE, "Truck 07", date(2026, 3, 1), date(2026, 3, 7), "wind"))
    press(client, restore)
    chosen = Transfer.objects.get().chosen()
    assert chosen.variables == ("wind",)
    assert chosen.since == datetime(2026, 3, 1, tzinfo=UTC)
    assert chosen.until == datetime(2026, 3, 8, tzinfo=UTC)


def test_a_page_without_a_key_makes_one(client: Client, restore: Restore) -> None:
    assert press(client, restore, "no key").status_code == 302
    assert Transfer.objects.count() == 1


@pytest.mark.parametrize(
    ("side", "said"), [("project", "Rescue is shut down."), ("home", "Cold Chain is shut down.")]
)
def test_who_comes_late_is_told_why_nothing_was_moved(
    client: Client, restore: Restore, side: str, said: str
) -> None:
    ended = rescued(restore) if side == "project" else restore.snapshot.project
    Project.objects.filter(pk=ended.pk).update(state=Project.State.SHUT_DOWN)
    answer = press(client, restore)
    assert answer.status_code == 409
    assert "Nothing was moved" in answer.content.decode()
    assert said in answer.content.decode()
    assert not Transfer.objects.exists()


@pytest.mark.parametrize("fields", [{"sought": None}, {"project": None}])
def test_without_rows_or_a_project_there_is_nothing_to_move(
    client: Client, restore: Restore, fields: dict[str, Any]
) -> None:
    Restore.objects.filter(pk=restore.pk).update(**fields)
    assert press(client, restore).status_code == 409
    assert not Transfer.objects.exists()


def test_another_owner_of_the_lost_rows_cannot_use_the_new_project(
    client: Client, restore: Restore
) -> None:
    other = factories.make_account()
    factories.make_membership(restore.snapshot.project, other, "owner")
    client.force_login(other)
    assert press(client, restore).status_code == 404
    factories.make_membership(rescued(restore), other)
    assert press(client, restore).status_code == 403
    assert not Transfer.objects.exists()


def test_the_restore_says_what_is_back_already(client: Client, restore: Restore) -> None:
    page = f"/restores/{restore.pk}/"
    assert "Move Truck" in client.get(page).text
    sums = {"stored": 8_425, "created": 0, "chosen": 8_425, "is_equal": True}
    transfer = factories.make_transfer(
        rescued(restore),
        restore.snapshot.project,
        requested_by=restore.requested_by,
        work="move",
        state="completed",
        report={"summary": sums},
        created_at=timezone.now() - timedelta(days=2),
        finished_at=timezone.now() - timedelta(hours=3),
    )
    text = " ".join(re.sub(r"<[^>]*>", "", client.get(page).text).split())
    assert "8,425 records were moved back to Cold Chain 3 hours ago." in text
    text = " ".join(client.get(page).text.split())
    assert "Move Truck" not in text
    assert f'href="/projects/{rescued(restore).slug}/transfers/{transfer.pk}/"' in text
    sums |= {"stored": 0, "chosen": 0, "device_settings": 2}
    Transfer.objects.update(report={"summary": sums})
    text = " ".join(client.get(page).text.split())
    assert "Tags and parameters of 2 devices were brought back to Cold Chain" in text
    assert "0 records" not in text
    # One that found nothing left to move, as from a second tab, changes nothing of that.
    idle = {"stored": 0, "created": 0, "chosen": 2, "is_equal": True}
    factories.make_transfer(
        rescued(restore),
        restore.snapshot.project,
        requested_by=restore.requested_by,
        work="move",
        state="completed",
        report={"summary": idle},
    )
    assert "Tags and parameters of 2 devices" in " ".join(client.get(page).text.split())
    Transfer.objects.update(state="undone")
    assert "Move Truck" in client.get(page).text
