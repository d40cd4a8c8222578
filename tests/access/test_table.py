"""The table of answers is complete and true, and a refusal changes nothing."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import timedelta
from functools import cache
from typing import Any
from unittest.mock import patch

import pytest
from django.core.cache import caches
from django.db import connection, transaction
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.billing.models import Charge
from backups_portal.notifications.models import Delivery, NotificationSettings
from backups_portal.objectives.models import Objective
from backups_portal.projects.models import Invitation, MainDatabase, Membership, Project
from backups_portal.transfers.models import Transfer
from restores.models import Check, Restore
from snapshots.engine.layout import MARKER
from snapshots.engine.storage import open_storage
from snapshots.models import Hold, Snapshot
from tests import factories
from tests.access.table import METHODS, TABLE
from tests.tallies import tally

pytestmark = pytest.mark.django_db
API = "portal-api"
ACTORS = ("owner", "collaborator", "stranger", "anonymous")
GUARDED: tuple[type[Model], ...] = (
    Project,
    Membership,
    Invitation,
    MainDatabase,
    Snapshot,
    Hold,
    Restore,
    Check,
    Charge,
    Transfer,
    NotificationSettings,
    Delivery,
    Objective,
)


def patterns(resolver: URLResolver | None = None) -> Iterator[URLPattern]:
    """Yield every URL pattern of the portal, however deeply it is included."""
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            # The portal's API has a table of its own.
            if entry.namespace != API:
                yield from patterns(entry)
        else:
            yield entry


@cache
def pattern_of(name: str) -> URLPattern:
    """Return the only pattern with this name."""
    (found,) = (pattern for pattern in patterns() if pattern.name == name)
    return found


class World:
    """One project with everything that a URL can name, and one account of each kind."""

    def __init__(self) -> None:
        self.client = Client()
        self.accounts: dict[str, Account | None] = {
            "owner": factories.make_account(),
            "collaborator": factories.make_account(),
            "stranger": factories.make_account(),
            "anonymous": None,
        }
        self.project = factories.make_project_row(owner=self.accounts["owner"])
        factories.make_membership(self.project, self.accounts["collaborator"])
        self.snapshot = factories.make_snapshot(self.project)
        self.restore = factories.make_restore(
            self.snapshot, requested_by=self.accounts["owner"], state="failed", reason="It broke."
        )
        self.check = Check.objects.create(project=self.project, kind="devices", at_least=3)
        self.second = factories.make_project_row(owner=self.accounts["owner"])
        self.transfer = factories.make_transfer(
            self.project,
            self.second,
            requested_by=self.accounts["owner"],
            state="running",
            work="undo",
        )
        self.newcomer = factories.make_account()
        self.member = self.project.memberships.get(account=self.accounts["collaborator"])
        self.invitation = Invitation.objects.create(
            project=self.project,
            email=factories.make_account().email,
            role="collaborator",
            invited_by=self.accounts["owner"],
        )
        self.elsewhere = factories.make_project_row(owner=self.accounts["stranger"])

    def url(self, name: str, **changes: Any) -> str:
        """Return the address of this world's project, snapshot or restore."""
        ids = {
            "slug": self.project.slug,
            "snapshot": self.snapshot.pk,
            "restore": self.restore.pk,
            "check": self.check.pk,
            "transfer": self.transfer.pk,
            "device": "ab" * 12,
            "session": 0,
            "pk": 0,
            "uidb36": "0",
            "key": "0",
            "signed": "0",
            "token": "ab" * 12,
            "member": self.member.pk,
            "invitation": self.invitation.pk,
            "access_token": 0,
            **changes,
        }
        names = pattern_of(name).pattern.regex.groupindex
        return reverse(name, kwargs={key: ids[key] for key in names})

    def form(self, name: str) -> dict[str, Any]:
        """Return a valid form for this URL."""
        return {
            "account_login": {
                "username": self.accounts["stranger"].email,
                "password": factories.PASSWORD,
            },
            "main-database": {
                "backup_time": "04:30",
                "backup_time_zone": "Europe/Berlin",
                "retention_days": "3",
            },
            "objectives": {"max_loss_hours": "48"},
            "backups-checks": {"kind": "devices", "at_least": "30"},
            "backups-check": {"at_least": "31"},
            "shut-down": {"name": self.project.name},
            "members": {"email": self.newcomer.email, "role": "collaborator"},
            "notifications": {"reminder_days": "3", "webhook": "https://hooks.example.com/"},
            "access-token-new": {"name": "script", "scopes": "backups:read"},
            "api": {"name": "script", "permission": "full", "lifetime": "30"},
            "transfers": {
                "source": str(self.project.pk),
                "target": str(self.second.pk),
                "rule": "skip",
                "unmatched": "create",
                "request_key": str(uuid.uuid4()),
            },
            "restore-confirm": {
                "name": "Recovered",
                "accept_charges": "on",
                "request_key": str(uuid.uuid4()),
            },
        }.get(name, {})

    def ask(self, actor: str, method: str, name: str, **changes: Any) -> Any:
        """Send one request in a new session."""
        # A new client would have to load all middleware again.
        self.client.cookies.clear()
        return self.ask_again(actor, method, name, **changes)

    def ask_again(self, actor: str, method: str, name: str, **changes: Any) -> Any:
        """Send another request in the actor's session, or in a new one if that has ended."""
        account, session = self.accounts[actor], self.client.cookies.get("sessionid")
        if account and not (session and session.value):
            self.enter(actor)
        if method == "POST":
            return self.client.post(self.url(name, **changes), self.form(name))
        return self.client.generic(method, self.url(name, **changes))

    def enter(self, actor: str) -> None:
        """Give the actor a session for `ask_again`."""
        self.client.cookies.clear()
        if account := self.accounts[actor]:
            self.client.force_login(account)
            # Pages that change sign-in methods require a recent password.
            form = {"password": factories.PASSWORD}
            self.client.post("/account/password-again/", form)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Restore the world, the session and the limits after the requests in the context."""
        cookies, before = deepcopy(self.client.cookies), transaction.savepoint()
        try:
            fresh = f"test:{uuid.uuid4()}"
            with (
                patch("backups_portal.lib.limits.PREFIX", fresh),
                patch.object(caches["default"], "key_prefix", fresh),
            ):
                yield
        finally:
            transaction.savepoint_rollback(before)
            self.client.cookies = cookies


@pytest.fixture
def world(storage_url: str, settings: Settings) -> World:
    # No worker runs during these tests, which may outlast monitoring's patience.
    settings.SIGNS_SILENT_AFTER = timedelta(days=365)
    # The right storage, which lacks this world's backups.
    open_storage(storage_url).put_new(MARKER, b"")
    return World()


def state() -> dict[str, str]:
    """Return a digest of the rows that a refused request must not change, by table."""
    tables = [model._meta.db_table for model in GUARDED]
    digests = (
        f"(SELECT md5(string_agg(one::text, ' ' ORDER BY one::text)) FROM {table} one)"
        for table in tables
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(digests)}")
        return dict(zip(tables, cursor.fetchone(), strict=True))


def test_every_address_is_in_the_table() -> None:
    assert sorted(str(pattern.name) for pattern in patterns()) == sorted(TABLE)


def test_rows_are_complete(subtests: pytest.Subtests) -> None:
    for name, row in TABLE.items():
        with subtests.test(name):
            assert set(row) == set(ACTORS)
            for answers in row.values():
                assert set(answers) == set(METHODS)


@pytest.mark.parametrize("actor", ACTORS)
def test_answers_hold_and_refusals_change_nothing(
    world: World, actor: str, subtests: pytest.Subtests
) -> None:
    # Making a session takes as long as the answer, so actors reuse theirs. Anonymous visitors stay
    # without one, even after a sign-in.
    ask = world.ask if actor == "anonymous" else world.ask_again
    world.enter(actor)
    before = state()
    for name in TABLE:
        with subtests.test(name), world.undone():
            given = {method: ask(actor, method, name).status_code for method in METHODS}
            tally("accesses to pages: address, method, actor", len(given))
            assert given == dict(TABLE[name][actor])
            assert actor == "owner" or state() == before


def test_who_asks_what_an_address_has_exports_nothing(world: World) -> None:
    """Link previews, proxies and crawlers send HEAD, which must not record an export."""
    for name in TABLE:
        before = AuditEvent.objects.count()
        response = world.ask_again("owner", "HEAD", name)
        assert AuditEvent.objects.count() == before, name
        assert not response.streaming, name
        assert response.content == b"", name
        if TABLE[name]["owner"]["GET"] != 200:
            continue
        got = world.ask_again("owner", "GET", name)
        for header in ("Content-Type", "Content-Disposition"):
            said = response.headers.get(header, "").partition(";")[0]
            assert said == got.headers.get(header, "").partition(";")[0], name


def test_anonymous_is_sent_to_sign_in_and_back(world: World, subtests: pytest.Subtests) -> None:
    for name, row in TABLE.items():
        if row["anonymous"]["GET"] == 302 and row["owner"]["GET"] != 302:
            with subtests.test(name):
                response = world.ask("anonymous", "GET", name)
                assert response.url == f"{reverse('account_login')}?next={world.url(name)}"


def test_the_snapshot_of_another_project_leads_nowhere(
    world: World, subtests: pytest.Subtests
) -> None:
    before = state()
    for name in (
        *("snapshot", "snapshot-devices", "snapshot-excluded", "snapshot-restores"),
        *("snapshot-device", "snapshot-device-variables", "snapshot-device-chart"),
        *("snapshot-device-export", "snapshot-resources"),
        *("snapshot-compare", "snapshot-download"),
        *("snapshot-hold", "snapshot-release", "restore-confirm"),
    ):
        with subtests.test(name):
            for method in METHODS:
                response = world.ask_again("stranger", method, name, slug=world.elsewhere.slug)
                assert response.status_code in (404, 405)
            assert state() == before


def test_an_id_that_nothing_has(world: World, subtests: pytest.Subtests) -> None:
    unknown = {"snapshot": uuid.uuid4(), "restore": uuid.uuid4()}
    for name in (
        *("snapshot", "snapshot-devices", "snapshot-excluded", "snapshot-restores"),
        *("snapshot-device", "snapshot-device-variables", "snapshot-device-chart"),
        *("snapshot-device-export", "snapshot-resources"),
        *("snapshot-compare", "snapshot-download"),
        *("restore-confirm", "restore", "restore-status"),
    ):
        with subtests.test(name):
            assert world.ask_again("owner", "GET", name, **unknown).status_code == 404


@pytest.fixture
def strict(world: World) -> Client:
    """Return an owner's client that lacks the form token on a server that checks it."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.accounts["owner"])
    return client


def test_backups_page_takes_no_other_method_even_without_a_form_token(
    world: World, strict: Client, subtests: pytest.Subtests
) -> None:
    for method in set(METHODS) - {"GET", "HEAD"}:
        with subtests.test(method):
            response = strict.generic(method, world.url("backups"))
            assert response.status_code == 405
            assert response.headers["Allow"] == "GET, HEAD"


def test_what_changes_something_asks_for_the_form_token(
    world: World, strict: Client, subtests: pytest.Subtests
) -> None:
    before = state()
    for name in (
        *("main-database", "snapshot-download", "snapshot-hold", "snapshot-release"),
        *("restore-confirm", "restore-retry", "api", "api-token-revoke"),
        *("backups-checks", "backups-check", "backups-check-remove"),
        *("access-token-new", "access-token-revoke"),
        *("members", "member-remove", "invitation-withdraw", "shut-down", "start-again"),
        *("notifications", "notifications-secret", "notifications-test"),
    ):
        with subtests.test(name):
            assert strict.post(world.url(name), world.form(name)).status_code == 403
            assert state() == before
