"""The page of a restore with what was moved back, and the button to do so."""

import uuid

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from backups_portal.lib.leased_job import send_on_commit
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.models import Project
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.plan.selection import Choice
from backups_portal.transfers.tasks import run_transfer
from backups_portal.transfers.transfer_requests import CONFLICT, request_transfer
from restores.sought_rows import SoughtRows
from restores.views import RestorePage

log = get_logger(__name__)
NOTHING = "There is no running project with rows that were looked for."


class RestoreView(RestorePage):
    """The progress and outcome of a restore, and what was moved back."""

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        return super().get_context_data(moved=self._moved(), **kwargs)

    def _moved(self) -> Transfer | None:
        """Find the newest transfer that changed the target, not just read it."""
        if self.restore.project_id is None:
            return None
        moved = Transfer.objects.filter(
            Q(report__summary__stored__gt=0) | Q(report__summary__device_settings__gt=0),
            source=self.restore.project_id,
            target=self.project,
            state=Transfer.State.COMPLETED,
        )
        return (
            moved.only("report", "state", "created_at", "finished_at")
            .order_by("-created_at")
            .first()
        )


class RestoreStatusView(RestoreView):
    """The part of that page that refreshes itself."""

    template_name = "restores/_status.html"


class MoveBackView(RestoreView):
    """The button that requests the dry run of moving lost rows back."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        source, sought = self.restore.project, self.restore.looked_for
        try:
            if source is None or sought is None:
                raise TransferRefusedError(NOTHING, status=CONFLICT)
            transfer = self._request(source, sought)
        except TransferRefusedError as refused:
            log.warning("not moved back %s", refused, restore=self.restore.pk)
            context = self.get_context_data(
                refusal=refused.message, refusal_title="Nothing was moved"
            )
            return self.render_to_response(context, status=refused.status)
        send_on_commit(run_transfer, transfer.pk)
        return redirect("transfer", source.slug, transfer.pk)

    def _request(self, source: Project, sought: SoughtRows) -> Transfer:
        return request_transfer(
            source=source,
            target=self.project,
            actor=self.account,
            choice=Choice(
                devices=(sought.device,),
                variables=(sought.variable,) if sought.variable else None,
                since=sought.since,
                until=sought.until,
            ),
            request_key=_key(self.request.POST.get("request_key", "")),
        )


def _key(text: str) -> uuid.UUID:
    """Read the page's request key; make a new one if it is missing or invalid."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.uuid4()
