"""Every page needs as many queries for many rows as for few."""

import secrets
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from backups_portal.access_tokens.models import AccessToken
from backups_portal.access_tokens.scopes import Scope
from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import record
from backups_portal.billing.models import Charge
from backups_portal.notifications.models import Delivery
from backups_portal.objectives.models import Breach, Objective
from backups_portal.projects.models import Invitation, Project
from snapshots.models import Hold, Snapshot
from tests import factories

pytestmark = pytest.mark.django_db
FEW, MANY = 1, 40
# Pages of an account, of a project, of one of its backups.
OF_ACCOUNT = ("projects", "security", "all-charges", "access-tokens")
OF_PROJECT = (
    *("project", "main-database", "objectives", "backups", "backups-find", "backups-checks"),
    *("transfers", "data", "ids", "members", "charges", "evidence", "activity", "shut-down"),
    *("api", "tokens", "api-reference", "notifications"),
)
OF_SNAPSHOT = (
    *("snapshot", "snapshot-devices", "snapshot-excluded", "snapshot-restores"),
    *("snapshot-resources", "snapshot-compare", "snapshot-download", "restore-confirm"),
)


class Filled:
    """A project with this many rows of everything that pages list, and its owner's browser."""

    def __init__(self, number: int) -> None:
        self.owner = factories.make_account()
        self.project = factories.make_project_row(owner=self.owner)
        self.client = Client()
        self.client.force_login(self.owner)
        for place in range(number):
            self._add(place)
        # A session created without the sign-in page records its browser once.
        self.client.get("/account/")

    def _add(self, place: int) -> None:
        moment = timezone.now() - timedelta(days=place)
        self.snapshot = factories.make_snapshot(self.project, taken_at=moment)
        Hold.objects.create(snapshot=self.snapshot, account=self.owner)
        other = factories.make_project_row(owner=self.owner)
        factories.make_restore(
            self.snapshot,
            requested_by=self.owner,
            project=other,
            state="completed",
            step="done",
        )
        factories.make_restore(self.snapshot, requested_by=self.owner)
        factories.make_checked(self.snapshot, at_least=place + 1)
        factories.make_transfer(self.project, other, requested_by=self.owner)
        factories.make_membership(self.project, factories.make_account())
        Invitation.objects.create(
            project=self.project,
            email=factories.make_account().email,
            role="collaborator",
            invited_by=self.owner,
        )
        Invitation.objects.create(
            project=factories.make_project_row(),
            email=self.owner.email,
            role="collaborator",
            invited_by=self.owner,
        )
        self._charge(moment)
        self._miss(moment)
        record(action="backup.held", actor=self.owner, project=self.project, subject="A backup")
        Client().force_login(self.owner)
        self._grant(place)
        self._notify(place)

    def _grant(self, place: int) -> None:
        AccessToken.objects.create(
            account=self.owner,
            name=f"Script {place}",
            digest=secrets.token_bytes(32),
            last_four="0000",
            scopes=Scope.values[: 1 + place % 2],
            last_used_at=timezone.now(),
        )

    def _notify(self, place: int) -> None:
        """Notify every owner and the webhook."""
        other = factories.make_account()
        factories.make_membership(self.project, other, role="owner")
        for channel, account in (("email", self.owner), ("email", other), ("webhook", None)):
            Delivery.objects.create(
                project=self.project,
                event_id=place,
                kind="restore",
                channel=channel,
                account=account,
                message={"data": {"subject": other.name}},
                state="failed",
                finished_at=timezone.now(),
                reason="The server did not answer.",
            )

    def _miss(self, moment: datetime) -> None:
        for kind in Objective.Kind.values:
            objective = Objective.objects.create(
                project=self.project,
                kind=kind,
                target=26,
                began_at=moment,
                # One is in force.
                ended_at=None if moment.date() == timezone.now().date() else moment,
            )
            Breach.objects.create(
                objective=objective, began_at=moment, ended_at=moment, end="met", worst_seconds=1
            )

    def _charge(self, moment: object) -> None:
        Charge.objects.create(
            project_id=self.project.pk,
            project_name=self.project.name,
            kind="running",
            unit_price="0.068",
            currency="USD",
            starts_at=moment,
            ends_at=moment,
        )

    def queries(self, name: str) -> int:
        """Count the queries of a page that was loaded before."""
        address = reverse(name, kwargs=self._arguments(name))
        assert self.client.get(address).status_code == 200
        with CaptureQueriesContext(connection) as captured:
            self.client.get(address)
        return len(captured)

    def _arguments(self, name: str) -> dict[str, object]:
        if name in OF_ACCOUNT:
            return {}
        of_snapshot = {"snapshot": self.snapshot.pk} if name in OF_SNAPSHOT else {}
        return {"slug": self.project.slug, **of_snapshot}


def test_every_page_asks_as_often_for_one_as_for_many(storage_url: str) -> None:
    few, many = Filled(FEW), Filled(MANY)
    assert Snapshot.objects.filter(project=many.project).count() == MANY
    assert Project.objects.of(Account.objects.get(pk=many.owner.pk)).count() > MANY
    counts = {
        name: (few.queries(name), many.queries(name))
        for name in (*OF_ACCOUNT, *OF_PROJECT, *OF_SNAPSHOT)
    }
    assert {name: pair for name, pair in counts.items() if pair[0] != pair[1]} == {}
