"""The Backups page: the list of a project's snapshots, to be read and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.vary import vary_on_headers
from django.views.generic import ListView

from backups_portal.projects.access import Permission
from backups_portal.projects.mixins import ProjectPermissionMixin
from snapshots.listing import Row, describe, newest_stored
from snapshots.models import Snapshot
from snapshots.readiness import readiness_of

# The list refreshes itself so often (seconds) while something in it is under way, and while the
# next backup is about to appear.
WHILE_CHANGING = 1
WHILE_AWAITED = 15
AWAITED = timedelta(minutes=10)


@method_decorator(vary_on_headers("HX-Request"), name="dispatch")
class BackupsView(ProjectPermissionMixin, ListView):
    """The page, and for its own refresh the part of it that changes."""

    permission = Permission.MANAGE_BACKUPS
    http_method_names = ["get", "head"]
    template_name = "snapshots/backups.html"
    # Two weeks on a page; most periods are shorter.
    paginate_by = 14

    def get_template_names(self) -> list[str]:
        refresh = "HX-Request" in self.request.headers
        return ["snapshots/_listing.html"] if refresh else ["snapshots/backups.html"]

    def get_queryset(self) -> QuerySet[Snapshot]:
        snapshots = Snapshot.objects.filter(project=self.project).listed()
        return snapshots.select_related("hold", "copy").defer("table_rows")

    def paginate_queryset(
        self, queryset: Any, page_size: int
    ) -> tuple[Paginator[Snapshot], Page[Snapshot], Any, bool]:
        """The page asked for; the nearest that exists where the number is wrong."""
        paginator = self.get_paginator(queryset, page_size)
        page = paginator.get_page(self.request.GET.get("page"))
        return paginator, page, page.object_list, page.has_other_pages()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        now, newest = timezone.now(), self._newest(context["page_obj"])
        rows = describe(context["object_list"], newest=newest, project=self.project, now=now)
        database = self.project.main_database
        return {
            **context,
            "rows": rows,
            "newest": newest,
            "readiness": readiness_of(self.project, now),
            "failed_proof": any(row.snapshot.verdict == Snapshot.Verdict.FAILED for row in rows),
            "database": database,
            "now": now,
            "refresh_seconds": refresh_seconds(rows, database.next_snapshot_at, now),
        }

    def _newest(self, page: Page[Snapshot]) -> Snapshot | None:
        """The newest stored one, which the first page has unless all on it failed."""
        stored = [row for row in page.object_list if row.is_good and row.taken_at]
        if page.number == 1 and stored:
            return max(stored, key=lambda row: row.taken_at or row.scheduled_for)
        return newest_stored(self.project)


def refresh_seconds(rows: Sequence[Row], next_run: datetime | None, now: datetime) -> int | None:
    """How soon the list should be read again; None where nothing is expected to change."""
    if any(row.changes for row in rows):
        return WHILE_CHANGING
    return WHILE_AWAITED if next_run and next_run - now < AWAITED else None
