"""Backups: read, hold and release them. Only the schedule creates them."""

import uuid
from collections.abc import Sequence
from typing import Any

from django.utils import timezone
from ninja import Query, Router, Status

from backups_portal.access_tokens.scopes import Scope
from backups_portal.billing.charge_ledger import current_quote
from backups_portal.portal_api import schemas
from backups_portal.portal_api.permissions import backup_of, owned
from backups_portal.portal_api.result_pages import Page, Pages, cut
from backups_portal.portal_api.routes.projects import PROJECT
from backups_portal.portal_api.token_auth import ApiRequest, Needs
from backups_portal.projects.models import Project
from restores.backup_list import Row, describe
from restores.checks.check_results import results_of
from restores.project_names import suggest_name
from restores.snapshot_uses import with_uses
from snapshots.models import Snapshot
from snapshots.retention.holds import place_hold, release_hold

router = Router(tags=["Backups"])
BACKUPS = f"{PROJECT}/backups"
BACKUP = f"{BACKUPS}/{{uuid:backup_id}}"


@router.get(BACKUPS, auth=Needs(Scope.BACKUPS_READ), response=Page[schemas.Backup])
def list_backups(
    request: ApiRequest,
    slug: str,
    pages: Pages,
    restorable: bool = Query(False, description="Only backups that can be restored"),
) -> Page[schemas.Backup]:
    """List the backups that have not expired, newest first."""
    project = owned(request, slug)
    rows = with_uses(Snapshot.objects.filter(project=project).listed()).select_related("hold")
    found, about = cut((rows.good().not_newer() if restorable else rows).defer("table_rows"), pages)
    items = [schemas.Backup(**_shown(row)) for row in _described(project, found)]
    return Page[schemas.Backup](items=items, **about)


@router.get(BACKUP, auth=Needs(Scope.BACKUPS_READ), response=schemas.BackupDetail)
def get_backup(request: ApiRequest, slug: str, backup_id: uuid.UUID) -> schemas.BackupDetail:
    """Return a backup, with its number of rows of each kind."""
    return _detail(backup_of(owned(request, slug), backup_id))


@router.get(f"{BACKUP}/quote", auth=Needs(Scope.RESTORES_READ), response=schemas.Quote)
def get_quote(request: ApiRequest, slug: str, backup_id: uuid.UUID) -> schemas.Quote:
    """Quote what a new project from this backup costs, and suggest a name."""
    snapshot = backup_of(owned(request, slug), backup_id)
    quote = current_quote()
    return schemas.Quote(
        is_restorable=snapshot.is_restorable,
        creation_fee=schemas.money(quote.creation_fee),
        running_fee_per_hour=schemas.money(quote.running_fee_per_hour),
        projected_month=schemas.money(quote.projected_month),
        currency=quote.currency,
        terms=quote.terms,
        suggested_name=suggest_name(snapshot, request.auth.account),
    )


@router.put(f"{BACKUP}/hold", auth=Needs(Scope.BACKUPS_HOLD), response=schemas.BackupDetail)
def hold_backup(request: ApiRequest, slug: str, backup_id: uuid.UUID) -> schemas.BackupDetail:
    """Hold a backup, so that it is kept until you release it; safe to repeat."""
    project = owned(request, slug)
    place_hold(snapshot=backup_of(project, backup_id), actor=request.auth.account)
    return _detail(backup_of(project, backup_id))


@router.delete(f"{BACKUP}/hold", auth=Needs(Scope.BACKUPS_HOLD), response={204: None})
def release_backup(request: ApiRequest, slug: str, backup_id: uuid.UUID) -> Status[None]:
    """Release a backup to its retention period; safe to repeat."""
    snapshot = backup_of(owned(request, slug), backup_id)
    release_hold(snapshot=snapshot, actor=request.auth.account)
    return Status(204, None)


def _detail(snapshot: Snapshot) -> schemas.BackupDetail:
    (row,) = _described(snapshot.project, [snapshot])
    results = [schemas.CheckResult(**one.as_json()) for one in results_of(snapshot)]
    return schemas.BackupDetail(
        **_shown(row), table_rows=snapshot.table_rows, check_results=results
    )


def _described(project: Project, snapshots: Sequence[Snapshot]) -> list[Row]:
    newest = Snapshot.objects.filter(project=project).newest_good() if snapshots else None
    return describe(snapshots, newest=newest, project=project, now=timezone.now())


def _shown(row: Row) -> dict[str, Any]:
    snapshot = row.snapshot
    same = (
        *("id", "state", "local_date", "scheduled_for", "taken_at", "finished_at", "rows"),
        *("logical_bytes", "stored_bytes", "new_bytes", "verdict", "verdict_reason"),
        *("proven_at", "restore_seconds", "reason", "cause"),
    )
    return {
        **{name: getattr(snapshot, name) for name in same},
        "is_restorable": snapshot.is_restorable,
        "checks": snapshot.checks and schemas.CheckCounts(**snapshot.checks._asdict()),
        "kept_until": row.kept_until,
        "kept_because": row.kept_because,
        "is_held": row.is_held,
    }
