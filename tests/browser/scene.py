"""Projects with content on every page, including real databases."""

from datetime import date, time, timedelta
from functools import partial
from typing import Any

from django.urls import URLPattern, reverse
from django.utils import timezone
from psycopg.types.json import Jsonb

from backups_portal.accounts.models import Account
from backups_portal.notifications.models import Delivery
from backups_portal.notifications.notification_settings import Choice, change_notifications
from backups_portal.objectives.models import Breach, Objective
from backups_portal.projectdb.devices import set_parameters
from backups_portal.projectdb.tokens import TokenGrant, create_token
from backups_portal.projects.database_dsn import keyring, project_dsn
from backups_portal.projects.models import Invitation, Project
from backups_portal.projects.project_creation import NAME_LENGTH, BackupSettings, create_project
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.plan.selection import Choice as MoveChoice
from backups_portal.transfers.plan.selection import DeviceSettings
from backups_portal.transfers.transfer_requests import request_undo, start_move
from backups_portal.transfers.transfer_run import OCCUPIED, run_transfer
from restores.models import Check
from restores.restore_run import run_restore
from restores.sought_rows import SoughtRows
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from tests import factories
from tests.access.test_table import patterns
from tests.projectdatabases import DEVICE, Target, add_device, add_rows, open_database

# As reported by the storage: it contains an object's name, which has no place for a line break.
DAMAGED = (
    f"A part of this backup (variable, {'0f' * 18}/segments/c2/{'c2' * 32}.parquet) was changed in "
    "storage after it was written."
)


def live_project(owner: Account, name: str, rows: int = 10) -> Project:
    """Make a project with a real database of some readings, next backed up tomorrow."""
    tomorrow = timezone.now() + timedelta(days=1)
    settings = BackupSettings(time(3), "Europe/Berlin", 7, first_run=tomorrow)
    project = create_project(name=name, owner=owner, settings=settings)
    with open_database(Target(project_dsn(project), project.prefix)) as connection:
        add_device(connection)
        add_rows(connection, 0, rows)
        create_token(
            connection, TokenGrant("device", name="Default", device_id=DEVICE), keys=keyring()
        )
    return project


def lose_rows(project: Project, number: int) -> None:
    """Lose a project's newest readings by accident."""
    with open_database(Target(project_dsn(project), project.prefix)) as connection:
        connection.execute(
            "DELETE FROM variable WHERE id IN (SELECT id FROM variable ORDER BY id DESC LIMIT %s)",
            [number],
        )


def set_settings(project: Project, *, site: str, password: str) -> None:
    """Give the device a tag, and a parameter that nobody is to read on a page."""
    with open_database(Target(project_dsn(project), project.prefix)) as connection:
        connection.execute("UPDATE device SET tags = %s", [Jsonb([{"key": "site", "value": site}])])
        values = {"key": "wifi_password", "value": password}
        set_parameters(connection, device_id=DEVICE, parameters=[values])


def stored_backup(project: Project) -> Snapshot:
    """Store a real backup of today."""
    snapshot = factories.make_snapshot(project, state=Snapshot.State.QUEUED)
    take(snapshot.pk)
    snapshot.refresh_from_db()
    assert snapshot.state == Snapshot.State.COMPLETED, snapshot.reason
    return snapshot


class Scene:
    """One project with a row of every kind, a restored one, and an empty one."""

    def __init__(self) -> None:
        self.owner = factories.make_account("owner@example.com", name="Olivia Owner")
        self.collaborator = factories.make_account("collaborator@example.com")
        self.stranger = factories.make_account("stranger@example.com")
        self.project = live_project(self.owner, "Cold Chain")
        factories.make_token(self.owner, "backups:read", "restores:write")
        factories.make_token(self.owner, expires_at=timezone.now() - timedelta(days=1))
        self.empty = factories.make_project_row(owner=self.owner, name="Brand new")
        factories.make_membership(self.project, self.collaborator)
        self.snapshot = stored_backup(self.project)
        self._older_backups()
        self.check = self._checks()
        self.restores = self._restores()
        self.transfers = self._transfers()
        self.transfer = self.transfers["queued"]
        self.ended = factories.make_project_row(
            owner=self.owner, name="Ended", state="shut_down", shut_down_at=timezone.now()
        )
        self.guest = factories.make_account("guest@example.com")
        for account in (self.guest, factories.make_account("pending@example.com")):
            Invitation.objects.create(
                project=self.project,
                email=account.email,
                role="collaborator",
                invited_by=self.owner,
            )
        # A name of the maximum length without a space.
        self.wordy = factories.make_project_row(owner=self.owner, name="N" * NAME_LENGTH)
        self.wordy_restore = factories.make_restore(
            self.snapshot,
            requested_by=self.owner,
            name=self.wordy.name,
            state="failed",
            reason=DAMAGED,
        )
        self._notifications()
        self._objectives()

    def _transfers(self) -> dict[str, Transfer]:
        """Make one transfer per state; those with a plan or a report really moved something."""
        target = self.restores["completed"].project
        make = partial(factories.make_transfer, self.project, target, requested_by=self.owner)
        found = {state: make() for state in ("undone", "completed", "ready")}
        steps = {"ready": [], "completed": [start_move], "undone": [start_move, request_undo]}
        for day, (state, transfer) in enumerate(found.items(), 200):
            self._add_records(day)
            self._run(transfer)
            for step in steps[state]:
                step(transfer=transfer, actor=self.owner)
                self._run(transfer)
            assert transfer.state == state, transfer.reason
        # Values such as keys and hashes have nowhere to break.
        site = f"North <b>1</b> {'W' * 80}"
        set_settings(self.project, site=site, password="old secret")
        set_settings(target, site="South", password="new secret")
        only = MoveChoice(device_settings=DeviceSettings.ONLY).as_json()
        for state in ("of settings ready", "of settings completed"):
            found[state] = make(choice=only)
            self._run(found[state])
        start_move(transfer=found[state], actor=self.owner)
        self._run(found[state])
        reason = OCCUPIED.format(name=target.name)
        return {
            **found,
            "queued": make(),
            "undo waiting": self._undo(found["completed"], state="queued", reason=reason),
            "undo cancelled": self._undo(found["completed"], state="cancelled"),
            "paused": make(state="paused", work="move"),
            "cancelled": make(state="cancelled", finished_at=timezone.now()),
            "failed": make(
                state="failed",
                reason="The target's database does not answer.",
                finished_at=timezone.now(),
            ),
        }

    def _undo(self, moved: Transfer, **fields: str) -> Transfer:
        """Make a transfer like one that was moved, with a requested undo."""
        kept = ("source", "target", "requested_by", "choice", "plan", "report")
        return factories.make_transfer(
            **{name: getattr(moved, name) for name in kept},
            **{"work": "undo", "has_ledger": True, "ledger_until": moved.ledger_until, **fields},
        )

    def _add_records(self, day: int) -> None:
        with open_database(Target(project_dsn(self.project), self.project.prefix)) as connection:
            add_rows(connection, day, 3)

    def _run(self, transfer: Transfer) -> None:
        run_transfer(transfer.pk)
        transfer.refresh_from_db()

    def _notifications(self) -> None:
        """Make a webhook, and a message in every state."""
        url = "https://hooks.example.com/services/1"
        choice = Choice(True, ["failed"], 7, webhook=url, heartbeat=url)
        change_notifications(project=self.project, actor=self.owner, choice=choice)
        now = timezone.now()
        for number, state in enumerate(Delivery.State.values):
            # A waiting message is due tomorrow, so that no test's worker sends it.
            ended = state not in Delivery.UNFINISHED
            Delivery.objects.create(
                project=self.project,
                event_id=number,
                kind="failed",
                channel="email",
                account=self.owner,
                message={"data": {"subject": "Backup of 2026-11-23"}},
                state=state,
                reason="" if state in ("sent", "running") else "It answered 500.",
                retry_at=None if ended else now + timedelta(days=1),
                lease_until=None if ended else now + timedelta(days=1),
                finished_at=now if ended else None,
            )

    def _objectives(self) -> None:
        """Make objectives that are met after periods when they were not."""
        now = timezone.now()
        for kind, target in (("point", 26), ("time", 30)):
            began = now - timedelta(days=20)
            objective = Objective.objects.create(
                project=self.project, kind=kind, target=target, began_at=began, checked_at=now
            )
            for days, end in ((2, "met"), (9, "changed"), (15, "stopped")):
                Breach.objects.create(
                    objective=objective,
                    began_at=now - timedelta(days=days),
                    ended_at=now - timedelta(days=days - 1),
                    end=end,
                    worst_seconds=31 * 3600,
                )

    def _checks(self) -> Check:
        """Make a failed check, and one of each other kind that no proof has run yet."""
        device = {"device_id": DEVICE, "device_name": "Truck"}
        for fields in (
            {"kind": "newest", "hours": 26},
            {"kind": "between", "variable": "temperature_1", "low": -40, "high": 60},
        ):
            Check.objects.create(project=self.project, **device, **fields)
        proven = self.project.snapshots.get(verdict="passed")
        return factories.make_checked(proven, at_least=30)

    def _older_backups(self) -> None:
        make = partial(factories.make_snapshot, self.project)
        now = timezone.now()
        for days, state in ((2, "completed"), (3, "running"), (4, "expired")):
            make(taken_at=now - timedelta(days=days), state=state)
        self.failed = make(taken_at=now - timedelta(days=1), state="failed")
        make(
            taken_at=now - timedelta(days=5),
            verdict="failed",
            verdict_reason=DAMAGED,
            proven_at=now,
        )
        make(taken_at=now - timedelta(days=6), verdict="passed", proven_at=now, restore_seconds=2.5)

    def _restores(self) -> dict[str, Any]:
        make = partial(factories.make_restore, self.snapshot, requested_by=self.owner)
        restores = {
            "completed": make(name="Cold Chain again"),
            "failed": make(state="failed", reason=DAMAGED),
            "running": make(
                state="running",
                step="loading",
                started_at=timezone.now(),
                step_started_at=timezone.now(),
                rows_done=400,
                rows_total=1000,
                lease_until=timezone.now() + timedelta(hours=1),
            ),
            "queued": make(),
        }
        restores["completed"].remember(SoughtRows(DEVICE, "Truck", date(2026, 3, 1)))
        run_restore(restores["completed"].pk)
        restores["completed"].refresh_from_db()
        assert restores["completed"].project, restores["completed"].reason
        return restores

    def url(self, name: str, **changes: Any) -> str:
        """Return the address of this scene's project or one of its rows."""
        (pattern,) = (pattern for pattern in patterns() if pattern.name == name)
        return reverse(name, kwargs=self._arguments(pattern, changes))

    def _arguments(self, pattern: URLPattern, changes: dict[str, Any]) -> dict[str, Any]:
        ids = {
            "slug": self.project.slug,
            "snapshot": self.snapshot.pk,
            "restore": self.restores["completed"].pk,
            "transfer": self.transfer.pk,
            "check": self.check.pk,
            "device": "d" * 24,
            "token": "ab" * 12,
            "uidb36": "0",
            "key": "0",
            "signed": "0",
            "member": 0,
            "invitation": 0,
            **changes,
        }
        return {key: ids[key] for key in pattern.pattern.regex.groupindex}
