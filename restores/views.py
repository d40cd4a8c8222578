"""Making a new project out of a backup: the confirmation, the progress, another try."""

import logging
import uuid
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.generic import FormView, TemplateView

from backups_portal.accounts.recent import RecentPasswordMixin
from backups_portal.audit.services import address_of
from backups_portal.billing.prices import Quote
from backups_portal.billing.services import current_quote
from backups_portal.lib.compiled import compiled
from backups_portal.projects.access import Permission
from backups_portal.projects.mixins import ProjectPermissionMixin
from restores.enqueueing import enqueue
from restores.errors import RestoreRefusedError
from restores.forms import RestoreForm
from restores.models import Restore
from restores.naming import suggest_name
from restores.services import request_restore, retry_restore
from restores.steps import pace_of, step_lines, time_taken, waits_until
from restores.warm import kept_for
from snapshots.contents import contents_of
from snapshots.engine.errors import EngineError
from snapshots.inside import ExcludedLine, left_out
from snapshots.mixins import SnapshotMixin
from snapshots.models import Snapshot

log = logging.getLogger(__name__)

# The page refreshes itself so often, in seconds.
WHILE_CHANGING = 1
WHILE_POSTPONED = 15
# Restores of the same backup that the confirmation names.
OTHERS = 3


@compiled
def _others(snapshot_id: uuid.UUID) -> QuerySet[Restore]:
    """Restores of a backup that made a project or will, newest first."""
    others = Restore.objects.filter(snapshot_id=snapshot_id).exclude(state=Restore.State.FAILED)
    return others.only("name", "state", "created_at").order_by("-created_at")


class ConfirmView(SnapshotMixin, RecentPasswordMixin, FormView):
    """What a restore will make and cost; nothing begins before the charges are accepted."""

    template_name = "restores/confirm.html"
    form_class = RestoreForm
    http_method_names = ["get", "head", "post"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        status = 200 if self.snapshot.is_good else 409
        return self.render_to_response(self.get_context_data(), status=status)

    def get_initial(self) -> dict[str, Any]:
        return {"name": suggest_name(self.snapshot, self.account), "request_key": uuid.uuid4()}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            snapshot=self.snapshot,
            contents=contents_of(self.snapshot.table_rows),
            left_out=self._left_out(),
            quote=current_quote(),
            is_warm=kept_for(self.snapshot) is not None,
            others=_others(self.snapshot.pk)[:OTHERS],
            zone=self.project.main_database.backup_time_zone,
            **kwargs,
        )

    def _left_out(self) -> list[ExcludedLine]:
        if self.snapshot.state != Snapshot.State.COMPLETED:
            return []
        try:
            return left_out(self.snapshot)
        except EngineError:
            # The restore says what is wrong with it; this page only counts.
            log.warning("contents cannot be read snapshot=%s", self.snapshot.pk, exc_info=True)
            return []

    def form_valid(self, form: RestoreForm) -> HttpResponse:
        values = form.cleaned_data
        try:
            restore = request_restore(
                snapshot=self.snapshot,
                actor=self.account,
                name=values["name"],
                accepted_charges=values["accept_charges"],
                request_key=values["request_key"],
                address=address_of(self.request),
            )
        except RestoreRefusedError as refused:
            log.warning("restore refused snapshot=%s %s", self.snapshot.pk, refused)
            for field, message in refused.errors.items():
                form.add_error(field, message)
            return self.refuse(form, refused.status)
        enqueue(restore)
        return redirect("restore", restore.pk)

    def form_invalid(self, form: RestoreForm) -> HttpResponse:
        return self.refuse(form, 400)

    def refuse(self, form: RestoreForm, status: int) -> HttpResponse:
        """The page again, with what was wrong."""
        return self.render_to_response(self.get_context_data(form=form), status=status)


@compiled
def _restores(pk: uuid.UUID) -> QuerySet[Restore]:
    restores = Restore.objects.filter(pk=pk)
    return restores.select_related("snapshot__project", "project", "requested_by")


class RestorePage(ProjectPermissionMixin, TemplateView):
    """A page about a restore, for the owners of the project that it came from."""

    permission = Permission.MANAGE_BACKUPS
    template_name = "restores/restore.html"
    restore: Restore

    def project_slug(self) -> str:
        restore = _restores(self.kwargs["restore"]).first()
        if restore is None:
            raise Http404("no such restore")
        self.restore = restore
        return self.restore.snapshot.project.slug

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        restore = self.restore
        return {
            **super().get_context_data(**kwargs),
            "restore": restore,
            "snapshot": restore.snapshot,
            "steps": step_lines(restore),
            "took": time_taken(restore),
            "pace": pace_of(restore),
            "is_under_way": restore.state in Restore.UNFINISHED,
            "refresh_seconds": WHILE_POSTPONED if waits_until(restore) else WHILE_CHANGING,
            # The new project is the account's that asked for it; other owners cannot enter.
            "can_enter": restore.requested_by == self.account,
            "contents": contents_of(restore.report.get("table_rows", {})),
            "missing": restore.report.get("missing", {}),
            "quote": Quote(restore.creation_fee, restore.running_fee_per_hour, restore.currency),
            "api_url": settings.API_URL,
            "zone": self.project.main_database.backup_time_zone,
        }


class RestoreView(RestorePage):
    """The progress of a restore, and what became of it."""

    http_method_names = ["get", "head"]


class RestoreStatusView(RestorePage):
    """The part of that page which changes, for its own refresh."""

    template_name = "restores/_status.html"
    http_method_names = ["get", "head"]


class RetryView(RestorePage, RecentPasswordMixin):
    """Another try of a restore that failed."""

    http_method_names = ["post"]
    password_for = ("POST",)

    def back_to(self) -> str:
        return reverse("restore", args=[self.restore.pk])

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            retry_restore(restore=self.restore, actor=self.account, address=address_of(request))
        except RestoreRefusedError as refused:
            log.warning("retry refused restore=%s %s", self.restore.pk, refused)
            context = self.get_context_data(refusal=refused.message)
            return self.render_to_response(context, status=refused.status)
        enqueue(self.restore)
        return redirect("restore", self.restore.pk)
