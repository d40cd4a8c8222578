"""One snapshot: what is inside, and keeping it."""

import logging
from functools import cached_property
from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseRedirect
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.generic import TemplateView, View

from backups_portal.audit.services import address_of
from backups_portal.lib.compiled import compiled
from snapshots.contents import contents_of
from snapshots.engine.errors import EngineError
from snapshots.errors import HoldRefusedError
from snapshots.inside import Inside, recall_inside, search_devices, search_excluded
from snapshots.listing import describe, newest_stored
from snapshots.mixins import SnapshotMixin
from snapshots.models import Snapshot
from snapshots.services import place_hold, release_hold

log = logging.getLogger(__name__)

LINES = 25


@compiled
def _restores(snapshot_id: UUID) -> QuerySet[Any]:
    # By its name, as of an app that this one may not know.
    restores = apps.get_model("restores", "Restore")._default_manager
    shown = ("name", "state", "created_at", "requested_by__name", "requested_by__email")
    of_snapshot = restores.filter(snapshot_id=snapshot_id).select_related("requested_by")
    return of_snapshot.only(*shown).order_by("-created_at")


class InsideMixin(SnapshotMixin):
    """A page that tells what a snapshot holds, where its contents can be read."""

    unreadable = ""

    @cached_property
    def inside(self) -> Inside | None:
        """What is inside; None where it is not stored, and where `unreadable` says why not."""
        if self.snapshot.state != Snapshot.State.COMPLETED:
            return None
        try:
            return recall_inside(self.snapshot)
        except EngineError as error:
            log.exception("contents cannot be read snapshot=%s", self.snapshot.pk)
            self.unreadable = str(error)
            return None

    @property
    def sought(self) -> str:
        """What was searched for."""
        return self.request.GET.get("q", "").strip()


class SnapshotPage(InsideMixin, TemplateView):
    """What is known of a snapshot; one that retention removed is said to be gone."""

    template_name = "snapshots/snapshot.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        now, newest = timezone.now(), newest_stored(self.project)
        (row,) = describe([self.snapshot], newest=newest, project=self.project, now=now)
        devices = self.inside.devices if self.inside else []
        found = Paginator(search_devices(devices, self.sought), LINES)
        return super().get_context_data(
            row=row,
            now=now,
            snapshot=self.snapshot,
            contents=contents_of(self.snapshot.table_rows),
            inside=self.inside,
            unreadable=self.unreadable,
            sought=self.sought,
            devices=found.get_page(self.request.GET.get("page")),
            restores=list(_restores(self.snapshot.pk)),
            zone=self.project.main_database.backup_time_zone,
            **kwargs,
        )


class SnapshotView(SnapshotPage):
    """The page "What is inside"."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        is_gone = self.snapshot.state == Snapshot.State.EXPIRED
        return self.render_to_response(self.get_context_data(), status=404 if is_gone else 200)


class ExcludedView(InsideMixin, TemplateView):
    """Everything that a snapshot leaves out, by name."""

    http_method_names = ["get", "head"]
    template_name = "snapshots/excluded.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        excluded = search_excluded(self.inside.excluded if self.inside else [], self.sought)
        return {
            **super().get_context_data(**kwargs),
            "snapshot": self.snapshot,
            "inside": self.inside,
            "unreadable": self.unreadable,
            "sought": self.sought,
            "excluded": Paginator(excluded, LINES).get_page(self.request.GET.get("page")),
        }


class BackMixin(SnapshotMixin):
    """Leads back to the list where the menu of the list was used, else to the backup."""

    def back(self) -> HttpResponseRedirect:
        """To the line of the backup on the page that asked, or to its own page."""
        asked = self.request.POST.get("next", "")
        if asked.startswith("/") and url_has_allowed_host_and_scheme(asked, allowed_hosts=None):
            return HttpResponseRedirect(f"{asked.partition('#')[0]}#backup-{self.snapshot.pk}")
        return redirect("snapshot", self.project.slug, self.snapshot.pk)


class HoldView(BackMixin, SnapshotPage):
    """Keeps a snapshot until it is released."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            place_hold(snapshot=self.snapshot, actor=self.account, address=address_of(request))
        except HoldRefusedError as refused:
            return self.render_to_response(self.get_context_data(refusal=str(refused)), status=409)
        name = self.snapshot.day_name
        messages.success(request, f"The backup of {name} is kept until you release it.")
        return self.back()


class ReleaseView(BackMixin, View):
    """Leaves a snapshot to the retention period again."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        release_hold(snapshot=self.snapshot, actor=self.account, address=address_of(request))
        name = self.snapshot.day_name
        messages.success(request, f"The backup of {name} is no longer on hold.")
        return self.back()
