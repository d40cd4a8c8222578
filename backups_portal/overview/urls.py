"""Addresses of the list of projects, and of a project's page, charges and activity."""

from django.urls import path

from backups_portal.overview.activity_views import ActivityCsvView, ActivityView
from backups_portal.overview.charge_views import (
    AllChargesCsvView,
    AllChargesView,
    ChargesCsvView,
    ChargesView,
)
from backups_portal.overview.views import ProjectListView, ProjectView

PROJECT = "projects/<slug:slug>/"

urlpatterns = [
    path("", ProjectListView.as_view(), name="projects"),
    path("charges/", AllChargesView.as_view(), name="all-charges"),
    path("charges/csv/", AllChargesCsvView.as_view(), name="all-charges-csv"),
    path(PROJECT, ProjectView.as_view(), name="project"),
    path(f"{PROJECT}charges/", ChargesView.as_view(), name="charges"),
    path(f"{PROJECT}charges/csv/", ChargesCsvView.as_view(), name="charges-csv"),
    path(f"{PROJECT}activity/", ActivityView.as_view(), name="activity"),
    path(f"{PROJECT}activity/csv/", ActivityCsvView.as_view(), name="activity-csv"),
]
