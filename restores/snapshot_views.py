"""Pages of one snapshot: its contents, its restores and its hold."""

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseRedirect
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.generic import TemplateView, View

from backups_portal.ui.pagination import PagedView
from restores.backup_list import describe
from restores.checks.check_results import bad_in_words, results_of
from restores.models import Restore
from restores.shown_restores import restores_for
from restores.snapshot_uses import with_uses
from snapshots.errors import HoldRefusedError
from snapshots.models import Snapshot, SnapshotQuerySet
from snapshots.reports.contents import contents_of
from snapshots.retention.holds import place_hold, release_hold
from snapshots.views.snapshot_mixins import SnapshotMixin

LINES = 25


class SnapshotPage(SnapshotMixin, TemplateView):
    """Everything known about a snapshot, even after retention removed it."""

    template_name = "snapshots/snapshot.html"

    def snapshots(self) -> SnapshotQuerySet:
        return with_uses(super().snapshots())

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        now = timezone.now()
        newest = Snapshot.objects.filter(project=self.project).newest_good()
        checked = results_of(self.snapshot)
        (row,) = describe(
            [self.snapshot], newest=newest, project=self.project, now=now, reader=self.account
        )
        return super().get_context_data(
            row=row,
            now=now,
            check_results=checked,
            bad_checks=bad_in_words(checked),
            contents=contents_of(self.snapshot.table_rows),
            **kwargs,
        )


class SnapshotView(SnapshotPage):
    """The summary of a snapshot."""

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        is_gone = self.snapshot.state == Snapshot.State.EXPIRED
        return self.render_to_response(self.get_context_data(), status=404 if is_gone else 200)


class RestoresView(SnapshotMixin, PagedView):
    """The restores of a snapshot, with the names that the account may read."""

    template_name = "snapshots/restores.html"
    paginate_by = LINES

    def get_queryset(self) -> QuerySet[Restore]:
        asked_by = ("requested_by__name", "requested_by__email")
        restores = Restore.objects.filter(snapshot=self.snapshot).select_related("requested_by")
        shown = restores.only("name", "state", "created_at", "project", *asked_by)
        return shown.order_by("-created_at", "-id")

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        context = super().get_context_data(**kwargs)
        return {
            **context,
            "restores": restores_for(self.account, context["object_list"]),
        }


class BackMixin(SnapshotMixin):
    """Redirects to the list if its menu was used, else to the backup."""

    def back(self) -> HttpResponseRedirect:
        """Redirect to the backup's line on the page that asked, or to its page."""
        asked = self.request.POST.get("next", "")
        if asked.startswith("/") and url_has_allowed_host_and_scheme(asked, allowed_hosts=None):
            return HttpResponseRedirect(f"{asked.partition('#')[0]}#backup-{self.snapshot.pk}")
        return redirect("snapshot", self.project.slug, self.snapshot.pk)


class HoldView(BackMixin, SnapshotPage):
    """Holds a snapshot until it is released."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        try:
            place_hold(snapshot=self.snapshot, actor=self.account)
        except HoldRefusedError as refused:
            return self.render_to_response(self.get_context_data(refusal=str(refused)), status=409)
        name = self.snapshot.day_name
        messages.success(request, f"The backup of {name} is on hold until you release it.")
        return self.back()


class ReleaseView(BackMixin, View):
    """Releases a snapshot to the retention period again."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        release_hold(snapshot=self.snapshot, actor=self.account)
        name = self.snapshot.day_name
        messages.success(request, f"The backup of {name} is released.")
        return self.back()
