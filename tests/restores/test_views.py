"""The pages of a restore: its result and cost, its progress, its outcome."""

import json
import re
import uuid
from collections.abc import Iterator
from datetime import date, timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from celery.exceptions import OperationalError
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from redis import Redis

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.billing.models import Charge
from backups_portal.projects.models import Project
from backups_portal.ui import moments
from restores.models import Restore
from restores.sought_rows import SoughtRows
from restores.tasks import run_restore
from snapshots.engine.layout import MARKER
from snapshots.engine.storage import open_storage
from snapshots.models import Snapshot
from tests import factories
from tests.pageforms import form_of
from tests.projectdatabases import DEVICE

pytestmark = pytest.mark.django_db
FEES = (
    "Standard project creation fees apply when a new project instance is created from a backup. "
    "Restored instances continue to incur costs for as long as they stay active."
)
IN_PLACE = (
    "Restoring a snapshot provisions a new, isolated project instance initialized from that "
    "snapshot. The platform does not overwrite an existing project's database in place."
)


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).replace("\N{NO-BREAK SPACE}", " ").split())


def text_of(response: HttpResponse) -> str:
    return words(response.content.decode()).replace("&#39;", "'")


class Queue:
    """The messages that wait in the broker."""

    def __init__(self, url: str) -> None:
        self.redis = Redis.from_url(url)
        self.redis.delete("celery")

    def restores(self) -> list[str]:
        messages = [json.loads(text) for text in self.redis.lrange("celery", 0, -1)]
        assert {message["headers"]["task"] for message in messages} <= {
            "restores.tasks.run_restore"
        }
        return [message["headers"]["argsrepr"].strip("(',)") for message in messages]


@pytest.fixture
def queue(settings: Any) -> Iterator[Queue]:
    queue = Queue(settings.REDIS_URL)
    yield queue
    queue.redis.delete("celery")


class TestConfirmation:
    """The result and cost of a restore before it begins."""

    @pytest.fixture
    def owner(self, client: Client) -> Account:
        account = factories.make_account()
        client.force_login(account)
        return account

    @pytest.fixture
    def project(self, owner: Account, storage_url: str) -> Project:
        return factories.make_project_row(owner=owner, name="Cold Chain")

    def url(self, snapshot: Snapshot) -> str:
        return f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/restore/"

    def test_what_it_makes_and_costs(self, client: Client, project: Project) -> None:
        snapshot = factories.make_snapshot(project, table_rows={"device": 44}, rows=44)
        text = text_of(client.get(self.url(snapshot)))
        for part in (FEES, IN_PLACE, "25.00 USD", "0.068 USD", "49.64 USD", "Devices 44"):
            assert part in text
        for part in ("Every variable gets a new ID.", "Every resource gets a new token."):
            assert part in text
        assert "Analysis: Analysis console logs and code." in text
        assert "Files: uploaded files and file attachments." in text

    def test_how_long_it_takes_is_told_by_another_backup_if_its_own_was_not_measured(
        self, client: Client, project: Project
    ) -> None:
        now = timezone.now()
        asked = factories.make_snapshot(project, taken_at=now - timedelta(days=3))
        assert "took" not in text_of(client.get(self.url(asked)))
        for days, seconds in ((1, 90), (2, 30)):
            measured = factories.make_snapshot(project, taken_at=now - timedelta(days=days))
            Snapshot.objects.filter(pk=measured.pk).update(restore_seconds=seconds, rows=2_000)
        other = factories.make_project_row(owner=project.created_by)
        elsewhere = factories.make_snapshot(other, taken_at=now)
        Snapshot.objects.filter(pk=elsewhere.pk).update(restore_seconds=5)
        day = moments.day((now - timedelta(days=1)).date())
        said = f"The backup of {day}, with 2,000 rows, was restored in 1 min 30 s"
        assert said in text_of(client.get(self.url(asked)))

    def test_other_restores_of_the_same_backup(
        self, client: Client, project: Project, owner: Account
    ) -> None:
        snapshot = factories.make_snapshot(project)
        assert "not the first restore" not in text_of(client.get(self.url(snapshot)))
        for name, state in (("Made", "completed"), ("In vain", "failed"), ("On its way", "queued")):
            fields = {"reason": "It failed."} if state == "failed" else {}
            factories.make_restore(snapshot, requested_by=owner, name=name, state=state, **fields)
        text = text_of(client.get(self.url(snapshot)))
        assert "This is not the first restore of this backup" in text
        assert "Being restored into On its way , started now ." in text
        assert "Restored into Made , started now ." in text
        assert "In vain" not in text

    def test_other_restores_from_which_nothing_can_be_moved(
        self, client: Client, project: Project, owner: Account
    ) -> None:
        snapshot = factories.make_snapshot(project)
        owners = owner, factories.make_account(name="Otto")
        mine, theirs = (factories.make_project_row(owner=one) for one in owners)
        for made, by in zip((mine, theirs), owners, strict=True):
            fields = {"project": made, "name": made.name, "state": "completed"}
            factories.make_restore(snapshot, requested_by=by, **fields)
        text = text_of(client.get(self.url(snapshot)))
        assert "You can move data from there." in text
        assert "another project , started now . It belongs to Otto." in text
        Project.objects.filter(pk=mine.pk).update(state="shut_down", shut_down_at=timezone.now())
        text = text_of(client.get(self.url(snapshot)))
        assert f"Restored into {mine.name} , started now . It is shut down." in text
        assert "You can move data from there." not in text

    def test_a_browser_that_goes_back_does_not_accept_again(
        self, client: Client, project: Project
    ) -> None:
        page = client.get(self.url(factories.make_snapshot(project))).content.decode()
        (box,) = re.findall(r'<input[^>]*name="accept_charges"[^>]*>', page)
        assert 'autocomplete="off"' in box
        assert "checked" not in box

    def test_suggested_name_is_free(self, client: Client, project: Project, owner: Account) -> None:
        snapshot = factories.make_snapshot(project)
        name = f"Cold Chain restored {timezone.now():%Y-%m-%d}"
        assert f'value="{name}"' in client.get(self.url(snapshot)).content.decode()
        factories.make_project_row(owner=owner, name=name)
        assert f'value="{name} (2)"' in client.get(self.url(snapshot)).content.decode()
        factories.make_restore(snapshot, requested_by=owner, name=f"{name} (2)")
        assert f'value="{name} (3)"' in client.get(self.url(snapshot)).content.decode()

    def test_suggested_name_fits(self, client: Client, project: Project) -> None:
        Project.objects.update(name="x" * 100)
        page = client.get(self.url(factories.make_snapshot(project))).content.decode()
        (name,) = re.findall(r'name="name" value="([^"]*)"', page)
        assert len(name) == 100

    @pytest.mark.parametrize(
        ("state", "why"),
        [
            ("expired", "This backup was removed when its retention period ended."),
            ("failed", "The main database did not answer."),
            ("running", "Only a stored backup can be restored."),
            ("queued", "Only a stored backup can be restored."),
        ],
    )
    def test_only_a_stored_backup_has_a_form(
        self, client: Client, project: Project, state: str, why: str
    ) -> None:
        snapshot = factories.make_snapshot(project, state=state)
        form = {"name": "Rescue", "accept_charges": "on", "request_key": str(uuid.uuid4())}
        for response in (client.get(self.url(snapshot)), client.post(self.url(snapshot), form)):
            assert response.status_code == 409
            assert why in text_of(response)
            assert 'name="accept_charges"' not in response.content.decode()
        assert not Restore.objects.exists()

    def test_a_backup_that_failed_its_proof(self, client: Client, project: Project) -> None:
        snapshot = factories.make_snapshot(
            project, verdict="failed", proven_at=timezone.now(), verdict_reason="42 rows differ."
        )
        form = {"name": "Rescue", "accept_charges": "on"}
        for response in (client.get(self.url(snapshot)), client.post(self.url(snapshot), form)):
            assert response.status_code == 409
            assert "42 rows differ." in text_of(response)

    @pytest.mark.parametrize(
        ("changes", "field", "message"),
        [
            ({"name": ""}, "name", "Enter a name for the project."),
            ({"name": "x" * 300}, "name", "at most 100 characters; this one has 300"),
            ({"name": "cold CHAIN"}, "name", "already have"),
            ({"name": "\0"}, "name", "Remove the NUL character."),
            ({"accept_charges": ""}, "accept_charges", "Accept the charges"),
        ],
    )
    def test_bad_input_is_explained_at_its_field(
        self,
        client: Client,
        project: Project,
        caplog: pytest.LogCaptureFixture,
        changes: dict[str, str],
        field: str,
        message: str,
    ) -> None:
        url = self.url(factories.make_snapshot(project))
        form = {"name": "Rescue", "accept_charges": "on", "request_key": str(uuid.uuid4())}
        response = client.post(url, {**form, **changes})
        assert response.status_code == 400
        page = response.content.decode()
        (errors,) = re.findall(rf'id="id_{field}_error">(.*?)</div>', page, re.DOTALL)
        assert message in words(errors)
        assert url in caplog.text
        assert not Restore.objects.exists()
        assert not Charge.objects.exists()

    def test_a_damaged_form_is_explained(self, client: Client, project: Project) -> None:
        url = self.url(factories.make_snapshot(project))
        response = client.post(url, {"name": "R", "accept_charges": "on", "request_key": "x"})
        assert response.status_code == 400
        assert "This form was damaged on the way." in text_of(response)

    def test_a_backup_that_storage_lost(
        self,
        client: Client,
        project: Project,
        storage_url: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        open_storage(storage_url).put_new(MARKER, b"")
        url = self.url(factories.make_snapshot(project))
        response = client.post(url, {"name": "Rescue", "accept_charges": "on"})
        assert response.status_code == 409
        assert "lacks" in text_of(response)
        assert "restore refused" in caplog.text
        assert not Restore.objects.exists()


def test_a_double_click_is_one_restore(
    client: Client, owner: Account, snapshot: Snapshot, queue: Queue
) -> None:
    client.force_login(owner)
    url = f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/restore/"
    (key,) = re.findall(r'name="request_key" value="([^"]*)"', client.get(url).content.decode())
    form = {"name": " Rescue  me ", "accept_charges": "on", "request_key": key}
    first, second = client.post(url, form), client.post(url, form)
    restore = Restore.objects.get()
    assert first.url == second.url == f"/restores/{restore.pk}/"
    assert (restore.name, restore.state) == ("Rescue me", "queued")
    assert set(queue.restores()) == {str(restore.pk)}
    assert AuditEvent.objects.get(action="restore.requested").address == "127.0.0.1"
    # Submitting the form again requests another project instead of showing the first one.
    third = client.post(url, {**form, "name": "Rescue me again"})
    assert third.url != first.url
    assert Restore.objects.filter(name="Rescue me again", state="queued").exists()


def test_charges_that_changed_since_the_page_was_shown_are_accepted_again(
    client: Client, owner: Account, snapshot: Snapshot, queue: Queue, settings: Any
) -> None:
    client.force_login(owner)
    url = f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/restore/"
    form = {**form_of(client.get(url).text, url), "name": 'My "plant"', "accept_charges": "on"}
    settings.PROJECT_RUNNING_FEE_PER_HOUR *= 2
    refused = client.post(url, form)
    assert refused.status_code == 400
    assert "The charges have changed since this page was shown." in text_of(refused)
    assert not Restore.objects.exists()
    # The form keeps its values, but the charges must be accepted again.
    shown = form_of(refused.text, url)
    assert shown == {**without(form, "accept_charges"), "quote": shown["quote"]}
    client.post(url, {**shown, "accept_charges": "on"})
    restore = Restore.objects.get()
    assert restore.name == 'My "plant"'
    assert restore.running_fee_per_hour == settings.PROJECT_RUNNING_FEE_PER_HOUR


def test_the_charges_are_accepted_at_the_second_try(
    client: Client, owner: Account, snapshot: Snapshot, queue: Queue
) -> None:
    client.force_login(owner)
    url = f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/restore/"
    form = {**form_of(client.get(url).text, url), "name": "Rescue"}
    refused = client.post(url, form)
    assert refused.status_code == 400
    assert form_of(refused.text, url) == form
    client.post(url, {**form_of(refused.text, url), "accept_charges": "on"})
    assert Restore.objects.get().name == "Rescue"


def without(form: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in form.items() if key != name}


def test_a_broker_that_is_away_delays_a_restore_and_does_not_lose_it(
    client: Client,
    owner: Account,
    snapshot: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def away(*_: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(run_restore, "delay", away)
    client.force_login(owner)
    url = f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/restore/"
    response = client.post(url, {"name": "Rescue", "accept_charges": "on"})
    restore = Restore.objects.get()
    assert response.url == f"/restores/{restore.pk}/"
    assert restore.state == Restore.State.QUEUED
    assert "broker is away" in caplog.text


@pytest.mark.parametrize(
    ("query", "sought"),
    [
        ({"device": DEVICE, "day": "2026-03-01"}, SoughtRows(DEVICE, "Truck", date(2026, 3, 1))),
        (
            {"device": DEVICE, "day": "2026-03-01", "last_day": "2026-03-07"},
            SoughtRows(DEVICE, "Truck", date(2026, 3, 1), date(2026, 3, 7)),
        ),
        ({"device": DEVICE, "variable": "wind"}, SoughtRows(DEVICE, "Truck", variable="wind")),
        ({"device": DEVICE, "day": "9999-12-31"}, SoughtRows(DEVICE, "Truck", date.max)),
        # A device missing from this backup, or a malformed one, is no reason to refuse a restore.
        ({"device": "ab" * 12}, None),
        ({"device": "<b>\0"}, None),
        ({"device": "x" * 10_000}, None),
        ({"device": DEVICE, "day": "29 February"}, None),
        ({"device": DEVICE, "day": "2026-03-02", "last_day": "2026-03-01"}, None),
        ({"day": "2026-03-01"}, None),
    ],
)
def test_a_restore_remembers_which_rows_it_is_for(
    client: Client,
    owner: Account,
    snapshot: Snapshot,
    queue: Queue,
    query: dict[str, str],
    sought: SoughtRows | None,
) -> None:
    client.force_login(owner)
    url = f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/restore/?{urlencode(query)}"
    page = client.get(url)
    assert page.status_code == 200
    assert ("For Truck" in text_of(page)) == (sought is not None)
    # The form posts to the page's own address with its query.
    (action,) = re.findall(r'action="([^"]*/restore/[^"]*)"', page.content.decode())
    assert client.post(unescape(action), {"name": "Rescue"}).status_code == 400
    assert client.post(unescape(action), {"name": "Rescue", "accept_charges": "on"}).url
    restore = Restore.objects.get()
    assert restore.looked_for == sought
    text = text_of(client.get(f"/restores/{restore.pk}/"))
    assert ("Next: move Truck back to Cold Chain." in text) == (sought is not None)


def test_retry(client: Client, owner: Account, snapshot: Snapshot, queue: Queue) -> None:
    restore = factories.make_restore(
        snapshot, requested_by=owner, state="failed", reason="It broke."
    )
    client.force_login(owner)
    response = client.post(f"/restores/{restore.pk}/retry/")
    assert response.url == f"/restores/{restore.pk}/"
    restore.refresh_from_db()
    assert restore.state == Restore.State.QUEUED
    assert queue.restores() == [str(restore.pk)]


@pytest.mark.parametrize("snapshots", [1, 100])
def test_pages_ask_as_often_with_much_around_them(
    client: Client, django_assert_num_queries: Any, snapshots: int
) -> None:
    owner = factories.make_account()
    project = factories.make_project_row(owner=owner)
    for days in range(snapshots):
        snapshot = factories.make_snapshot(project, taken_at=timezone.now() - timedelta(days=days))
        restore = factories.make_restore(snapshot, requested_by=owner)
    client.force_login(owner)
    # A session created without the sign-in page records its browser once.
    client.get("/account/")
    # Session, account, restore with its relations, membership.
    with django_assert_num_queries(4):
        client.get(f"/restores/{restore.pk}/")
    # Session, account, membership, snapshot, its restores, whether the name is taken, the account's
    # running restores, and the duration of another backup.
    with django_assert_num_queries(9):
        client.get(f"/projects/{project.slug}/backups/{snapshot.pk}/restore/")
