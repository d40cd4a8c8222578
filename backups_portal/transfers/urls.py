"""URLs of transfers."""

from functools import partial

from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from backups_portal.transfers.models import Transfer
from backups_portal.transfers.transfer_requests import (
    request_undo,
    retry_plan,
    start_move,
    stop_move,
)
from backups_portal.transfers.views import data_pages, restore_pages, transfer_pages

# A restore's page is here because it shows what was already moved back.
RESTORE = "restores/<uuid:restore>/"
TRANSFERS = "projects/<slug:slug>/transfers/"
TRANSFER = f"{TRANSFERS}<uuid:transfer>/"
# As in snapshots/urls.py: a view that changes nothing answers 405 without a CSRF token.
read_only = csrf_exempt

VERBS = {
    "start": start_move,
    "plan": retry_plan,
    "pause": partial(stop_move, for_good=False),
    "cancel": partial(stop_move, for_good=True),
    "undo": request_undo,
}

# A second press of a button is not a mistake if this work is in progress or in this state. A
# finished dry run can be repeated, so its refusal has another reason, which the owner must see.
AGAIN: dict[str, tuple[str, tuple[str, ...]]] = {
    "start": (Transfer.Work.MOVE, (Transfer.State.COMPLETED,)),
    "plan": (Transfer.Work.PLAN, ()),
    "undo": (Transfer.Work.UNDO, (Transfer.State.UNDONE,)),
}
QUEUING = (start_move, retry_plan, request_undo)

urlpatterns = [
    path(RESTORE, read_only(restore_pages.RestoreView.as_view()), name="restore"),
    path(
        f"{RESTORE}status/",
        read_only(restore_pages.RestoreStatusView.as_view()),
        name="restore-status",
    ),
    path(f"{RESTORE}move-back/", restore_pages.MoveBackView.as_view(), name="restore-move-back"),
    path(TRANSFERS, transfer_pages.TransfersView.as_view(), name="transfers"),
    path(TRANSFER, read_only(transfer_pages.TransferPage.as_view()), name="transfer"),
    path(
        f"{TRANSFER}status/",
        read_only(transfer_pages.TransferStatusView.as_view()),
        name="transfer-status",
    ),
    path(
        f"{TRANSFER}report.json",
        read_only(transfer_pages.ReportView.as_view()),
        {"form": "json"},
        name="transfer-report-json",
    ),
    path(
        f"{TRANSFER}report.csv",
        read_only(transfer_pages.ReportView.as_view()),
        {"form": "csv"},
        name="transfer-report-csv",
    ),
    *(
        path(
            f"{TRANSFER}{name}/",
            transfer_pages.ActionView.as_view(
                verb=verb, queues=verb in QUEUING, again=AGAIN.get(name, ("", ()))
            ),
            name=f"transfer-{name}",
        )
        for name, verb in VERBS.items()
    ),
    path("projects/<slug:slug>/data/", data_pages.DataView.as_view(), name="data"),
    path(
        "projects/<slug:slug>/data/<slug:device>.csv",
        read_only(data_pages.ExportView.as_view()),
        name="data-export",
    ),
]
