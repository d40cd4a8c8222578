"""Data of project overviews: the newest backup, and the origin of a restored project."""

from collections.abc import Iterable
from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Membership
from backups_portal.projects.redaction import reader_of
from snapshots.models import Snapshot


def with_overview(memberships: QuerySet[Membership]) -> QuerySet[Membership]:
    """Load memberships with an overview of their projects, in one query.

    Adds `last_backup` (when the newest good snapshot was taken), `restored_from` (the project whose
    backup it was made from, see `hide_origins`) and `backup_taken_at`, each possibly None; loads
    the main database.
    """
    good = Snapshot.objects.good().filter(project=OuterRef("project_id"))
    # By order and limit, which use the index; max() would read all rows.
    newest = good.order_by("-taken_at").values("taken_at")[:1]
    return memberships.annotate(
        last_backup=Subquery(newest),
        restored_from=F("project__restored_by__snapshot__project__name"),
        origin_id=F("project__restored_by__snapshot__project"),
        backup_taken_at=F("project__restored_by__snapshot__taken_at"),
    ).select_related("project__main_database")


def hide_origins(account: Account, memberships: Iterable[Any]) -> None:
    """Hide the names of origins that the account may not enter."""
    restored = [one for one in memberships if one.restored_from]
    reader = reader_of(account, [one.origin_id for one in restored])
    for one in restored:
        one.restored_from = reader.name(one.restored_from, one.origin_id)
