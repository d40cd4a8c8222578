"""Pages of a restore: the confirmation, the progress and the retry."""

import uuid
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.functional import cached_property
from django.views.generic import TemplateView

from backups_portal.accounts.reauthentication import RecentPasswordMixin
from backups_portal.billing.charge_ledger import current_quote
from backups_portal.billing.prices import Quote
from backups_portal.lib.leased_job import send_on_commit
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.access import is_member
from backups_portal.projects.models import Project
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.ui.form_views import RefusingFormView, key_of_request
from restores.errors import RestoreRefusedError
from restores.forms import RestoreForm
from restores.models import Restore
from restores.project_names import suggest_name
from restores.restore_requests import NewProject, limit_reached, request_restore, retry_restore
from restores.restore_steps import COUNTED, pace_of, step_lines, time_taken, waits_until
from restores.shown_restores import restores_for
from restores.sought_rows import SoughtRows
from restores.tasks import run_restore
from restores.warm_restores import kept_for
from snapshots.engine.errors import EngineError
from snapshots.forms import SearchForm
from snapshots.models import Snapshot
from snapshots.reports.contents import ExcludedLine, contents_of, left_out, recall_inside
from snapshots.views.snapshot_mixins import SnapshotMixin

log = get_logger(__name__)

# Seconds between refreshes of the page.
WHILE_CHANGING = 1
WHILE_POSTPONED = 15
# Restores of the same backup that the confirmation names.
OTHERS = 3


class ConfirmView(SnapshotMixin, RecentPasswordMixin, RefusingFormView):
    """What a restore makes and costs; it begins once the charges are accepted."""

    template_name = "restores/confirm.html"
    form_class = RestoreForm
    http_method_names = ["get", "head", "post"]

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        status = 200 if self.snapshot.is_restorable else 409
        return self.render_to_response(self.get_context_data(), status=status)

    def get_initial(self) -> dict[str, object]:
        return {"name": suggest_name(self.snapshot, self.account), "request_key": uuid.uuid4()}

    @cached_property
    def sought(self) -> SoughtRows | None:
        """Return the lost rows that the URL names, if the backup has the device."""
        form = SearchForm(self.request.GET)
        if "device" not in self.request.GET or not (
            self.snapshot.is_restorable and form.is_valid()
        ):
            return None
        asked = form.cleaned_data
        try:
            devices = recall_inside(self.snapshot).devices
        except EngineError:
            log.warning("contents cannot be read", snapshot=self.snapshot.pk, exc_info=True)
            return None
        names = (device.name for device in devices if device.device_id == asked["device"])
        name = next(names, None)
        if name is None:
            return None
        return SoughtRows(name=name, **asked)

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        others = Restore.objects.filter(snapshot=self.snapshot).exclude(state=Restore.State.FAILED)
        shown = others.select_related("project", "requested_by")
        return super().get_context_data(
            sought=self.sought,
            contents=contents_of(self.snapshot.table_rows),
            left_out=self._left_out(),
            quote=current_quote(),
            limit_reached=limit_reached(self.account),
            is_warm=kept_for(self.snapshot) is not None,
            measured=self._measured(),
            others=restores_for(self.account, shown.order_by("-created_at")[:OTHERS]),
            **kwargs,
        )

    def _measured(self) -> Snapshot | None:
        """Return a backup with a measured restore time, preferably this one."""
        if self.snapshot.restore_time:
            return self.snapshot
        return Snapshot.objects.filter(project=self.project).newest_measured()

    def _left_out(self) -> list[ExcludedLine]:
        if not self.snapshot.is_restorable:
            return []
        try:
            return left_out(self.snapshot)
        except EngineError:
            # The restore will report what is wrong; this page only counts.
            log.warning("contents cannot be read", snapshot=self.snapshot.pk, exc_info=True)
            return []

    def form_valid(self, form: RestoreForm) -> HttpResponse:
        values = form.cleaned_data
        try:
            restore = request_restore(
                snapshot=self.snapshot,
                actor=self.account,
                wanted=NewProject(
                    name=values["name"],
                    accepted_charges=values["accept_charges"],
                    request_key=key_of_request(values["request_key"], values["name"].split()),
                    shown_terms=values["quote"],
                ),
            )
        except RestoreRefusedError as refused:
            log.warning("restore refused %s", refused, snapshot=self.snapshot.pk)
            if "accept_charges" in refused.errors:
                # The charges that were accepted are not the ones shown now.
                form.data = written = self.request.POST.copy()
                written["accept_charges"] = ""
            raise
        if self.sought:
            restore.remember(self.sought)
        send_on_commit(run_restore, restore.pk)
        return redirect("restore", restore.pk)


def _is(project: Project | None, state: Project.State) -> bool:
    return project is not None and project.state == state


def _move_query(restore: Restore, into: Project) -> str:
    """Return the query of the page “Move data” for the way back into `into`."""
    if restore.project is None:
        return ""
    sought = restore.looked_for
    ends = {"from": restore.project.slug, "into": into.slug}
    return urlencode({**ends, **(sought.in_transfer() if sought else {})})


class RestorePage(ProjectPermissionMixin, TemplateView):
    """A page about a restore, for the owners of the project that it came from."""

    template_name = "restores/restore.html"
    restore: Restore

    def project_slug(self) -> str:
        restores = Restore.objects.select_related("snapshot__project", "project", "requested_by")
        self.restore = get_object_or_404(restores, pk=self.kwargs["restore"])
        return self.restore.snapshot.project.slug

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        (restore,) = restores_for(self.account, [self.restore])
        sought = restore.looked_for
        return {
            **super().get_context_data(**kwargs),
            "restore": restore,
            "snapshot": restore.snapshot,
            "sought": sought,
            "sought_query": f"?{urlencode(sought.in_query())}" if sought else "",
            "move_query": _move_query(restore, self.project),
            # One key for each rendered page, so that a second click makes no second transfer.
            "request_key": uuid.uuid4(),
            "steps": step_lines(restore),
            "took": time_taken(restore),
            "counts": restore.step in COUNTED,
            "pace": pace_of(restore),
            "is_under_way": restore.state in Restore.UNFINISHED,
            "refresh_seconds": WHILE_POSTPONED if waits_until(restore) else WHILE_CHANGING,
            # The new project belongs to the account that asked for it; other owners cannot enter.
            "is_running": _is(restore.project, Project.State.ACTIVE),
            "is_shut_down": _is(restore.project, Project.State.SHUT_DOWN),
            "can_enter": restore.project is not None and is_member(self.account, restore.project),
            "contents": contents_of(restore.report.get("table_rows", {})),
            "missing": restore.report.get("missing", {}),
            "quote": Quote(restore.creation_fee, restore.running_fee_per_hour, restore.currency),
            "api_url": settings.API_URL,
        }


class RetryView(RestorePage, RecentPasswordMixin):
    """Retries a failed restore."""

    http_method_names = ["post"]
    password_for = ("POST",)

    def back_to(self) -> str:
        return reverse("restore", args=[self.restore.pk])

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        try:
            retry_restore(restore=self.restore, actor=self.account)
        except RestoreRefusedError as refused:
            log.warning("retry refused %s", refused, restore=self.restore.pk)
            context = self.get_context_data(refusal=refused.message)
            return self.render_to_response(context, status=refused.status)
        send_on_commit(run_restore, self.restore.pk)
        return redirect("restore", self.restore.pk)
