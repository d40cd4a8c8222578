"""Plain rows for tests. No project made here has a database."""

import itertools
import secrets
import time as clock
from datetime import datetime, time, timedelta
from functools import cache
from typing import Any

from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from django.contrib.auth.hashers import make_password
from django.test import Client
from django.utils import timezone

from backups_portal.access_tokens.issued_tokens import make_access_token
from backups_portal.access_tokens.scopes import Scope
from backups_portal.accounts.models import Account
from backups_portal.projects.database_dsn import PASSWORD_PURPOSE, SERVER_PURPOSE, keyring
from backups_portal.projects.models import DatabaseServer, MainDatabase, Membership, Project
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.plan.selection import Choice
from restores.checks.check_results import CheckResult, Outcome
from restores.models import Check, Proof, Restore
from snapshots.models import Snapshot

PASSWORD = "correct horse battery"
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
_numbers = itertools.count(1)


def make_account(email: str = "", **fields: Any) -> Account:
    """Make an account whose password is PASSWORD."""
    email = email or f"account{next(_numbers)}@example.com"
    return Account.objects.create(email=email, password=hashed_password(), **fields)


@cache
def hashed_password() -> str:
    """Hash once for all accounts, because hashing is slow on purpose."""
    return make_password(PASSWORD)


def age_sign_in(client: Client, ago: timedelta) -> None:
    """Move the session's last confirmation of the password into the past."""
    session = client.session
    for step in session[AUTHENTICATION_METHODS_SESSION_KEY]:
        step["at"] = clock.time() - ago.total_seconds()
    session.save()


def make_token(account: Account, *scopes: str, expires_at: datetime | None = None) -> str:
    """Make an API token, with every scope unless some are given; return its value."""
    return make_access_token(
        account=account,
        name=f"script {next(_numbers)}",
        scopes=scopes or Scope.values,
        expires_at=expires_at,
    ).value


def make_server() -> DatabaseServer:
    """Make a database server that nothing can connect to."""
    return DatabaseServer.objects.get_or_create(
        name="factory",
        defaults={"sealed_url": keyring().seal(NOWHERE, SERVER_PURPOSE), "is_open": False},
    )[0]


def make_project_row(
    *, owner: Account | None = None, name: str = "", slug: str = "", **fields: Any
) -> Project:
    """Make a project with its settings and an owner, but without a database."""
    number = next(_numbers)
    owner = owner or make_account()
    project = Project.objects.create(
        **{
            "slug": slug or f"project-{number}",
            "name": name or f"Project {number}",
            "prefix": secrets.token_hex(4),
            "server": fields.get("server") or make_server(),
            "database": f"factory_{number}",
            "role": f"factory_{number}",
            "sealed_password": keyring().seal("none", PASSWORD_PURPOSE),
            "created_by": owner,
            **fields,
        }
    )
    make_membership(project, owner, Membership.Role.OWNER)
    make_main_database(project)
    return project


def make_membership(
    project: Project, account: Account, role: str = Membership.Role.COLLABORATOR
) -> Membership:
    """Make an account a member of a project."""
    return Membership.objects.create(project=project, account=account, role=role)


def make_main_database(project: Project, **fields: Any) -> MainDatabase:
    """Make settings of backups at 03:00 UTC, kept for 7 days."""
    return MainDatabase.objects.create(
        project=project,
        **{"backup_time": time(3), "backup_time_zone": "UTC", "retention_days": 7, **fields},
    )


def make_snapshot(
    project: Project, *, taken_at: datetime | None = None, state: str = "completed", **fields: Any
) -> Snapshot:
    """Make a snapshot in any state; each project may have one per day."""
    moment = taken_at or timezone.now()
    done = {
        "taken_at": moment,
        "finished_at": moment + timedelta(seconds=12),
        "manifest": f"manifests/{next(_numbers)}.json",
        "rows": 1000,
        "logical_bytes": 200_000,
        "stored_bytes": 40_000,
        "new_bytes": 40_000,
        "postgresql_version": "18.0",
        "schema_version": 1,
    }
    by_state: dict[str, dict[str, Any]] = {
        "completed": done,
        "expired": done,
        "failed": {"reason": "The main database did not answer.", "finished_at": moment},
    }
    return Snapshot.objects.create(
        project=project,
        **{
            "state": state,
            "local_date": moment.date(),
            "scheduled_for": moment,
            "started_at": None if state == "queued" else moment,
            **by_state.get(state, {}),
            **fields,
        },
    )


def make_restore(snapshot: Snapshot, *, requested_by: Account, **fields: Any) -> Restore:
    """Make a restore that no worker has started."""
    return Restore.objects.create(
        snapshot=snapshot,
        requested_by=requested_by,
        **{
            "name": f"Restored {next(_numbers)}",
            "creation_fee": "25.00",
            "running_fee_per_hour": "0.068",
            "currency": "USD",
            **fields,
        },
    )


def make_checked(
    snapshot: Snapshot, *, outcome: str = "failed", finding: str = "the backup has 2", **fields: Any
) -> Check:
    """Make a check of the number of devices, and a proof of the snapshot that ran only it."""
    check = Check.objects.create(
        project=snapshot.project, **{"kind": "devices", "at_least": 3, **fields}
    )
    result = CheckResult(str(check.pk), check.sentence, Outcome(outcome), finding)
    now = timezone.now()
    Proof.objects.create(
        snapshot=snapshot, state="passed", finished_at=now, check_results=[result.as_json()]
    )
    Snapshot.objects.filter(pk=snapshot.pk).update(
        verdict="passed",
        proven_at=now,
        checks_made=1,
        checks_failed=int(outcome == "failed"),
        checks_not_run=int(outcome == "not_run"),
    )
    return check


def make_transfer(
    source: Project, target: Project, *, requested_by: Account, **fields: Any
) -> Transfer:
    """Make a transfer of everything, whose dry run no worker has started."""
    return Transfer.objects.create(
        source=source,
        target=target,
        source_name=source.name,
        target_name=target.name,
        requested_by=requested_by,
        **{"choice": Choice().as_json(), **fields},
    )
