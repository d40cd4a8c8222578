"""One snapshot: what is inside, and keeping it."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.generic import TemplateView

from backups_portal.audit.services import address_of
from snapshots.contents import contents_of
from snapshots.errors import HoldRefusedError
from snapshots.listing import describe, newest_stored
from snapshots.mixins import SnapshotMixin
from snapshots.models import Snapshot
from snapshots.services import place_hold, release_hold


class SnapshotPage(SnapshotMixin, TemplateView):
    """What is known of a snapshot; one that retention removed is said to be gone."""

    template_name = "snapshots/snapshot.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        (row,) = describe(
            [self.snapshot],
            newest=newest_stored(self.project),
            project=self.project,
            now=timezone.now(),
        )
        return super().get_context_data(
            row=row,
            snapshot=self.snapshot,
            contents=contents_of(self.snapshot.table_rows),
            restores=self.snapshot.restores.select_related("requested_by").defer("report"),
            zone=self.project.main_database.backup_time_zone,
            **kwargs,
        )


class SnapshotView(SnapshotPage):
    """The page "What is inside"."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        is_gone = self.snapshot.state == Snapshot.State.EXPIRED
        return self.render_to_response(self.get_context_data(), status=404 if is_gone else 200)


class HoldView(SnapshotPage):
    """Keeps a snapshot until it is released."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            place_hold(snapshot=self.snapshot, actor=self.account, address=address_of(request))
        except HoldRefusedError as refused:
            return self.render_to_response(self.get_context_data(refusal=str(refused)), status=409)
        messages.success(request, "This backup is kept until you release it.")
        return redirect("snapshot", self.project.slug, self.snapshot.pk)


class ReleaseView(SnapshotMixin, TemplateView):
    """Leaves a snapshot to the retention period again."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        release_hold(snapshot=self.snapshot, actor=self.account, address=address_of(request))
        messages.success(request, "This backup is no longer on hold.")
        return redirect("snapshot", self.project.slug, self.snapshot.pk)
