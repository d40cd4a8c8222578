"""The Backups page: a read-only list of a project's snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django.core.paginator import Page
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.decorators import method_decorator
from django.utils.functional import cached_property
from django.views.decorators.vary import vary_on_headers

from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.ui.pagination import PagedView
from restores.backup_list import Row, describe, listed
from snapshots.models import Snapshot
from snapshots.reports.recovery_readiness import readiness_of

# Seconds between refreshes of the list: while a line is changing, while a backup is about to be
# taken, and otherwise, so that a page left open shows new backups and proofs.
WHILE_CHANGING = 1
WHILE_AWAITED = 15
WHILE_QUIET = 60
AWAITED = timedelta(minutes=10)


@method_decorator(vary_on_headers("HX-Request"), name="dispatch")
class BackupsView(ProjectPermissionMixin, PagedView):
    """The page, or only its changing part for an htmx refresh."""

    template_name = "snapshots/backups.html"
    # Two weeks on a page; most retention periods are shorter.
    paginate_by = 14

    def get_template_names(self) -> list[str]:
        refresh = "HX-Request" in self.request.headers
        return ["snapshots/_listing.html"] if refresh else ["snapshots/backups.html"]

    def get_queryset(self) -> Any:
        return listed(self.project)

    @cached_property
    def sought(self) -> date | None:
        """Return the requested day, unless a page number was requested."""
        if "page" in self.request.GET:
            return None
        try:
            return parse_date(self.request.GET.get("day", ""))
        except ValueError:
            return None

    def page_number(self) -> Any:
        """Return the page of the requested day, even if it has no backup."""
        if self.sought is None:
            return super().page_number()
        newer = Snapshot.objects.filter(project=self.project, local_date__gt=self.sought).listed()
        return newer.count() // self.paginate_by + 1

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        context = super().get_context_data(**kwargs)
        now, newest = timezone.now(), self._newest(context["page_obj"])
        rows = describe(
            context["object_list"],
            newest=newest,
            project=self.project,
            now=now,
            reader=self.account,
        )
        database = self.project.main_database
        return {
            **context,
            "rows": rows,
            "newest": newest,
            "readiness": readiness_of(self.project, now),
            "failed_proof": any(row.snapshot.verdict == Snapshot.Verdict.FAILED for row in rows),
            "database": database,
            "sought": self.sought,
            "is_found": any(row.snapshot.local_date == self.sought for row in rows),
            "now": now,
            "refresh_seconds": refresh_seconds(rows, database.next_snapshot_at, now),
        }

    def _newest(self, page: Page[Snapshot]) -> Snapshot | None:
        """Return the newest good snapshot, from the first page if possible."""
        stored = [row for row in page.object_list if row.is_good and row.taken_at]
        if page.number == 1 and (stored or not page.has_next()):
            return max(stored, key=lambda row: row.taken_at or row.scheduled_for, default=None)
        return Snapshot.objects.filter(project=self.project).newest_good()


def refresh_seconds(rows: Sequence[Row], next_run: datetime | None, now: datetime) -> int:
    """Return the seconds until the next refresh."""
    if any(row.changes for row in rows):
        return WHILE_CHANGING
    awaited = [next_run, *(row.waits_until for row in rows)]
    is_near = any(moment is not None and moment - now < AWAITED for moment in awaited)
    return WHILE_AWAITED if is_near else WHILE_QUIET
