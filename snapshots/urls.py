"""Addresses of main databases and their backups."""

from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from snapshots.views.compare import CompareView
from snapshots.views.device import (
    DeviceChartView,
    DeviceExportView,
    DeviceRecordsView,
    DeviceVariablesView,
)
from snapshots.views.download import DownloadView
from snapshots.views.find import FindView
from snapshots.views.snapshot_lists import DevicesView, ExcludedView, ResourcesView

PROJECT = "projects/<slug:slug>/"
SNAPSHOT = f"{PROJECT}backups/<uuid:snapshot>/"
DEVICE = f"{SNAPSHOT}devices/<slug:device>/"
# Pages that only take GET and HEAD answer other methods with 405, even without a CSRF token.
read_only = csrf_exempt

urlpatterns = [
    path(f"{PROJECT}backups/find/", read_only(FindView.as_view()), name="backups-find"),
    path(f"{SNAPSHOT}devices/", read_only(DevicesView.as_view()), name="snapshot-devices"),
    path(f"{DEVICE}", read_only(DeviceRecordsView.as_view()), name="snapshot-device"),
    path(
        f"{DEVICE}variables/",
        read_only(DeviceVariablesView.as_view()),
        name="snapshot-device-variables",
    ),
    path(f"{DEVICE}chart/", read_only(DeviceChartView.as_view()), name="snapshot-device-chart"),
    path(f"{DEVICE}export/", read_only(DeviceExportView.as_view()), name="snapshot-device-export"),
    path(f"{SNAPSHOT}resources/", read_only(ResourcesView.as_view()), name="snapshot-resources"),
    path(f"{SNAPSHOT}left-out/", read_only(ExcludedView.as_view()), name="snapshot-excluded"),
    path(f"{SNAPSHOT}compare/", read_only(CompareView.as_view()), name="snapshot-compare"),
    path(f"{SNAPSHOT}download/", DownloadView.as_view(), name="snapshot-download"),
]
