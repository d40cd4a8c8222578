"""The page “Move data”: what to move, the dry run, the progress, the report."""

import logging
import uuid
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.functional import cached_property
from django.views.generic import FormView, TemplateView

from backups_portal.audit.services import address_of
from backups_portal.lib.compiled import compiled
from backups_portal.projects.access import Permission
from backups_portal.projects.mixins import ProjectPermissionMixin
from backups_portal.projects.models import Membership, Project
from backups_portal.transfers.enqueueing import enqueue
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.transfers.forms import TransferForm
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.reporting import plan_lines, plan_sums, report_csv, transfer_json
from backups_portal.transfers.services import (
    find_transfer,
    request_transfer,
    request_undo,
    retry_plan,
    start_move,
    stop_move,
)

log = logging.getLogger(__name__)
ON_A_PAGE = 50
LISTED = 25


@compiled
def _listed(project_id: UUID) -> QuerySet[Transfer]:
    shown = ("source_name", "target_name", "state", "work", "rows_total", "created_at")
    return Transfer.objects.filter(Q(source_id=project_id) | Q(target_id=project_id)).only(*shown)


@compiled
def _owned(account_id: int) -> QuerySet[Project, Any]:
    """Ids and names of an owner's projects, and whose backup each was made of."""
    owned = Project.objects.filter(
        memberships__account_id=account_id, memberships__role=Membership.Role.OWNER
    )
    return owned.order_by("name", "pk").values_list("pk", "name", "restored_by__snapshot__project")


class TransfersView(ProjectPermissionMixin, FormView):
    """The transfers of a project, and a form for another one."""

    permission = Permission.MANAGE_BACKUPS
    template_name = "transfers/transfers.html"
    form_class = TransferForm
    http_method_names = ["get", "head", "post"]

    def get_initial(self) -> dict[str, Any]:
        initial: dict[str, Any] = {"source": self.project.pk, "request_key": uuid.uuid4()}
        # Where the data of a restored project came from.
        for pk, _, origin in self.owned:
            if pk == self.project.pk and origin:
                initial["target"] = origin
        return initial

    @cached_property
    def owned(self) -> list[tuple[UUID, str, UUID | None]]:
        """What the form offers, and where it came from."""
        return list(_owned(self.account.pk))

    def get_form_kwargs(self) -> dict[str, Any]:
        names = [(pk, name) for pk, name, _ in self.owned]
        return {**super().get_form_kwargs(), "names": names}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        page = _listed(self.project.pk).page(self.request.GET.get("page"), LISTED)
        return super().get_context_data(page=page, **kwargs)

    def form_valid(self, form: TransferForm) -> HttpResponse:
        values = form.cleaned_data
        try:
            if self.project not in (values["source"], values["target"]):
                raise TransferRefusedError(
                    f"One of the two projects must be {self.project.name}.", field="source"
                )
            transfer = request_transfer(
                source=values["source"],
                target=values["target"],
                actor=self.account,
                choice=values["choice"],
                request_key=values["request_key"],
                address=address_of(self.request),
            )
        except TransferRefusedError as refused:
            form.add_error(refused.field, refused.message)
            return self.refuse(form, refused.status)
        enqueue(transfer)
        return redirect("transfer", self.project.slug, transfer.pk)

    def form_invalid(self, form: TransferForm) -> HttpResponse:
        return self.refuse(form, 400)

    def refuse(self, form: TransferForm, status: int) -> HttpResponse:
        """The page again, with what was wrong."""
        return self.render_to_response(self.get_context_data(form=form), status=status)


class TransferMixin(ProjectPermissionMixin):
    """What concerns a transfer, for who owns both of its projects."""

    permission = Permission.MANAGE_BACKUPS
    http_method_names = ["get", "head"]

    def get_transfer(self) -> Transfer:
        """The transfer, if it is this project's."""
        transfer = find_transfer(self.account, self.kwargs["transfer"])
        if self.project not in (transfer.source, transfer.target):
            raise Http404("no such transfer")
        return transfer


class TransferPage(TransferMixin, TemplateView):
    """A page about a transfer."""

    template_name = "transfers/transfer.html"
    transfer: Transfer | None = None

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        kwargs.pop("transfer", None)
        transfer = self.transfer or self.get_transfer()
        plan = transfer.planned() if transfer.plan else None
        lines = transfer.report.get("devices") or (plan_lines(plan) if plan else [])
        return super().get_context_data(
            transfer=transfer,
            plan=plan,
            sums=plan_sums(plan) if plan else {},
            page=Paginator(lines, ON_A_PAGE).get_page(self.request.GET.get("page")),
            is_under_way=transfer.state in Transfer.UNFINISHED,
            is_report=bool(transfer.report.get("devices")),
            undone=transfer.report.get("undone"),
            **kwargs,
        )


class TransferStatusView(TransferPage):
    """The part of that page which changes, for its own refresh."""

    template_name = "transfers/_status.html"


class ReportView(TransferMixin):
    """The report to keep, as a file."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        transfer, form = self.get_transfer(), kwargs["form"]
        name = f"transfer-{transfer.pk}.{form}"
        response: HttpResponseBase = (
            JsonResponse(transfer_json(transfer))
            if form == "json"
            else StreamingHttpResponse(report_csv(transfer), content_type="text/csv; charset=utf-8")
        )
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response


class ActionView(TransferPage):
    """A button: it changes the transfer, and shows it again."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.transfer = transfer = self.get_transfer()
        try:
            self.act(transfer)
        except TransferRefusedError as refused:
            log.warning("refused transfer=%s %s", transfer.pk, refused)
            context = self.get_context_data(refusal=refused.message)
            return self.render_to_response(context, status=refused.status)
        return redirect("transfer", self.project.slug, transfer.pk)

    def act(self, transfer: Transfer) -> None:
        """Call the service."""
        raise NotImplementedError


class StartView(ActionView):
    """Move what the dry run has shown, or go on."""

    def act(self, transfer: Transfer) -> None:
        start_move(transfer=transfer, actor=self.account, address=address_of(self.request))
        enqueue(transfer)


class RetryPlanView(ActionView):
    """Make the dry run again."""

    def act(self, transfer: Transfer) -> None:
        retry_plan(transfer=transfer, actor=self.account, address=address_of(self.request))
        enqueue(transfer)


class PauseView(ActionView):
    """Stop after the batch at hand."""

    def act(self, transfer: Transfer) -> None:
        stop_move(
            transfer=transfer,
            actor=self.account,
            for_good=False,
            address=address_of(self.request),
        )


class CancelView(ActionView):
    """Stop for good; what was moved can be undone."""

    def act(self, transfer: Transfer) -> None:
        stop_move(
            transfer=transfer, actor=self.account, for_good=True, address=address_of(self.request)
        )


class UndoView(ActionView):
    """Take everything back."""

    def act(self, transfer: Transfer) -> None:
        request_undo(transfer=transfer, actor=self.account, address=address_of(self.request))
        enqueue(transfer)
