"""No page, export, API or message reveals the name of another owner's project."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, reverse
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.hash_chain import seal_events
from backups_portal.audit.models import AuditEvent
from backups_portal.audit.recorder import record
from backups_portal.billing.charge_ledger import charge_creation, current_quote
from backups_portal.notifications.delivery import send
from backups_portal.notifications.message_queue import plan_deliveries
from backups_portal.notifications.models import CHOSEN, Delivery
from backups_portal.notifications.notification_settings import Choice, change_notifications
from backups_portal.notifications.reminders import remind_of_running
from backups_portal.projects.models import Membership, Project
from restores.models import Restore
from snapshots.engine.errors import EngineError
from snapshots.models import Snapshot
from tests import factories
from tests.access.test_api_table import paths
from tests.access.test_table import patterns

pytestmark = pytest.mark.django_db
# Projects that only Anna may enter; one is still being made, and one was never finished.
FOREIGN = ("Zebra Vault", "Quagga Store", "Okapi Pen", "Tapir Barn", "Lemur Lodge")
VAULT, STORE, PEN, BARN, LODGE = FOREIGN


class World:
    """Anna and Ben own the Cold Chain; Anna has moved and restored into her own projects."""

    def __init__(self) -> None:
        self.anna = factories.make_account("anna@example.com")
        self.ben = factories.make_account("ben@example.com")
        make = factories.make_project_row
        self.shared = make(owner=self.anna, name="Cold Chain", slug="cold-chain")
        self.vault = make(owner=self.anna, name=VAULT, slug="vault")
        self.store = make(owner=self.anna, name=STORE, slug="store")
        self.lodge = make(owner=self.anna, name=LODGE, slug="lodge", state=Project.State.REMOVED)
        self.lodge.memberships.all().delete()
        # Ben owns this project, restored from a backup of Anna's vault.
        self.copy = make(owner=self.ben, name="Copy of a vault", slug="copy")
        factories.make_membership(self.shared, self.ben, Membership.Role.OWNER)
        self.snapshot = factories.make_snapshot(self.shared)
        self.restores = [
            self.restore(name=STORE, state="completed", project=self.store),
            self.restore(name=PEN, state="running"),
            self.restore(
                name=BARN,
                state="failed",
                reason=f"You already have a project named “{BARN}”. Choose another name.",
            ),
        ]
        long_ago = timezone.now() - timedelta(days=30)
        self.origin = factories.make_restore(
            factories.make_snapshot(self.vault),
            requested_by=self.ben,
            name=self.copy.name,
            state="completed",
            project=self.copy,
            finished_at=long_ago,
        )
        quote = current_quote()
        charge_creation(project=self.copy, quote=quote, reason=f"Restored from {VAULT}")
        self.transfers = [
            factories.make_transfer(
                *pair,
                requested_by=self.anna,
                state="failed",
                reason=f"{pair[0].name} was removed. {pair[1].name} is shut down.",
            )
            for pair in (
                (self.shared, self.vault),
                (self.vault, self.shared),
                (self.lodge, self.shared),
            )
        ]
        self.happen()

    def restore(self, **fields: Any) -> Restore:
        """Make a restore of the shared project's backup for Anna."""
        return factories.make_restore(self.snapshot, requested_by=self.anna, **fields)

    def happen(self) -> None:
        """Record every event in the audit log as the services do."""
        for restore in self.restores:
            for verb in ("requested", "completed", "failed", "postponed"):
                record(
                    action=f"restore.{verb}",
                    actor=self.anna,
                    project=self.shared,
                    subject=restore.name,
                    details={"restore": str(restore.pk), "reason": restore.reason},
                )
        for transfer in self.transfers:
            for project in (transfer.source, transfer.target):
                record(
                    action="transfer.failed",
                    actor=self.anna,
                    project=project,
                    subject=f"{transfer.source_name} → {transfer.target_name}",
                    details={"transfer": str(transfer.pk), "reason": transfer.reason},
                )
        remind_of_running(timezone.now())


@pytest.fixture
def world(storage_url: str) -> World:
    return World()


def text_of(response: HttpResponse) -> str:
    parts, read = response.streaming_content if response.streaming else [response.content], b""
    # These backups' objects are missing from storage.
    with suppress(EngineError):
        for part in parts:
            read += part
    return read.decode(errors="replace") + str(response.headers)


def addresses(world: World) -> Iterator[str]:
    """Yield every portal address that names a project, backup, restore or transfer."""
    known: dict[str, list[Any]] = {
        "slug": [world.shared.slug, world.copy.slug],
        "snapshot": [world.snapshot.pk],
        "restore": [restore.pk for restore in world.restores],
        "transfer": [transfer.pk for transfer in world.transfers],
    }
    for pattern in patterns():
        names = list(pattern.pattern.regex.groupindex)
        if not pattern.name or not set(names) <= known.keys():
            continue
        yield from reversed_with(pattern, names, known, {})


def reversed_with(
    pattern: URLPattern, names: list[str], known: dict[str, list[Any]], chosen: dict[str, Any]
) -> Iterator[str]:
    if not names:
        yield reverse(pattern.name, kwargs=chosen)
        return
    for value in known[names[0]]:
        yield from reversed_with(pattern, names[1:], known, {**chosen, names[0]: value})


def found_in(text: str) -> list[str]:
    return [name for name in FOREIGN if name in text]


def test_no_page_and_no_export_names_them(world: World) -> None:
    told, seen = {}, set()
    client = Client()
    client.force_login(world.ben)
    for address in addresses(world):
        response = client.get(address)
        if response.status_code == 200:
            seen.add(address)
        if names := found_in(text_of(response)):
            told[address] = names
    assert told == {}
    assert len(seen) > 40


def test_they_are_named_to_who_may_enter_them(world: World) -> None:
    """Without this the test above would also pass for a portal that shows no names at all."""
    client = Client()
    client.force_login(world.anna)
    pages = " ".join(text_of(client.get(address)) for address in addresses(world))
    assert found_in(pages) == list(FOREIGN)


def test_no_answer_of_the_api_names_them(world: World) -> None:
    token = factories.make_token(world.ben)
    ids = {
        "slug": [world.shared.slug, world.copy.slug],
        "backup_id": [world.snapshot.pk],
        "device_id": ["d" * 24],
        "restore_id": [restore.pk for restore in world.restores],
        "transfer_id": [transfer.pk for transfer in world.transfers],
    }
    told, seen = {}, 0
    for template in (path for path, operations in paths().items() if "get" in operations):
        for which in range(3):
            values = {name: some[which % len(some)] for name, some in ids.items()}
            path = template.format(**values)
            response = Client().get(path, headers={"Authorization": f"Bearer {token}"})
            seen += response.status_code == 200
            if names := found_in(text_of(response)):
                told[path] = names
    assert told == {}
    assert seen > 20


@pytest.mark.parametrize("who", ["ben", "anna"])
def test_no_message_names_them(
    world: World, mailoutbox: list[Any], settings: Any, who: str
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.EMAIL_HOST = "mail.example.com"
    settings.PORTAL_URL = "https://portal.example.com"
    for project in (world.shared, world.copy):
        change_notifications(
            project=project,
            actor=project.created_by,
            choice=Choice(
                by_email=True,
                wanted=[kind.value for kind in CHOSEN],
                reminder_days=7,
                webhook="https://hooks.example.com/",
                heartbeat="",
            ),
        )
    seal_events()
    plan_deliveries(timezone.now())
    account: Account = getattr(world, who)
    letters = Delivery.objects.filter(account=account)
    for delivery in letters:
        send(delivery)
    written = " ".join(mail.subject + mail.body for mail in mailoutbox)
    assert len(letters) == len(mailoutbox) > 3
    assert found_in(written) == ([] if who == "ben" else [STORE, PEN, BARN])
    # Every owner's webhook receives these messages.
    hooks = list(Delivery.objects.filter(channel="webhook").values_list("message", flat=True))
    assert len(hooks) > 3
    assert found_in(json.dumps(hooks, ensure_ascii=False)) == []


def test_the_log_itself_keeps_every_name(world: World) -> None:
    client = Client()
    client.force_login(world.ben)
    for _ in range(2):
        client.get("/projects/cold-chain/activity/")
    subjects = " ".join(AuditEvent.objects.values_list("subject", flat=True))
    assert found_in(subjects) == list(FOREIGN)


def test_a_readable_name_that_begins_with_a_foreign_one_stays(world: World) -> None:
    Project.objects.filter(pk=world.copy.pk).update(name=f"{VAULT} restored 2026-03-01")
    remind_of_running(timezone.now() + timedelta(days=8))
    client = Client()
    client.force_login(world.ben)
    page = text_of(client.get("/projects/copy/activity/"))
    assert f"{VAULT} restored 2026-03-01" in page
    assert "was restored from a backup of “another project”" in page
    assert Snapshot.objects.filter(project=world.vault).exists()
