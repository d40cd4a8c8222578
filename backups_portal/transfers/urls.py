"""Addresses of transfers."""

from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from backups_portal.transfers import dataviews, tokenviews, views

TRANSFERS = "projects/<slug:slug>/transfers/"
TRANSFER = f"{TRANSFERS}<uuid:transfer>/"
# As in snapshots/urls.py: what cannot change anything needs no form's token to answer 405.
read_only = csrf_exempt

urlpatterns = [
    path(TRANSFERS, views.TransfersView.as_view(), name="transfers"),
    path(TRANSFER, read_only(views.TransferPage.as_view()), name="transfer"),
    path(
        f"{TRANSFER}status/", read_only(views.TransferStatusView.as_view()), name="transfer-status"
    ),
    path(
        f"{TRANSFER}report.json",
        read_only(views.ReportView.as_view()),
        {"form": "json"},
        name="transfer-report-json",
    ),
    path(
        f"{TRANSFER}report.csv",
        read_only(views.ReportView.as_view()),
        {"form": "csv"},
        name="transfer-report-csv",
    ),
    path(f"{TRANSFER}start/", views.StartView.as_view(), name="transfer-start"),
    path(f"{TRANSFER}plan/", views.RetryPlanView.as_view(), name="transfer-plan"),
    path(f"{TRANSFER}pause/", views.PauseView.as_view(), name="transfer-pause"),
    path(f"{TRANSFER}cancel/", views.CancelView.as_view(), name="transfer-cancel"),
    path(f"{TRANSFER}undo/", views.UndoView.as_view(), name="transfer-undo"),
    path("projects/<slug:slug>/data/", dataviews.DataView.as_view(), name="data"),
    path(
        "projects/<slug:slug>/data/<slug:device>.csv",
        read_only(dataviews.ExportView.as_view()),
        name="data-export",
    ),
    path("projects/<slug:slug>/ids/", dataviews.IdsView.as_view(), name="ids"),
    path("projects/<slug:slug>/tokens/", tokenviews.TokensView.as_view(), name="tokens"),
    path(
        "projects/<slug:slug>/tokens.csv",
        read_only(tokenviews.TokensCsvView.as_view()),
        name="tokens-csv",
    ),
    path(
        "projects/<slug:slug>/ids/variables.csv",
        read_only(dataviews.VariablesCsvView.as_view()),
        name="ids-variables",
    ),
]
