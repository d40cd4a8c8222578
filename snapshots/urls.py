"""Addresses of main databases and their backups."""

from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from snapshots.views.compare import CompareView
from snapshots.views.devices import DevicesView
from snapshots.views.download import DownloadView
from snapshots.views.find import FindView
from snapshots.views.left_out import ExcludedView
from snapshots.views.main_database import MainDatabaseView

PROJECT = "projects/<slug:slug>/"
SNAPSHOT = f"{PROJECT}backups/<uuid:snapshot>/"
# Pages that take nothing but GET and HEAD answer everything else with 405, also where it comes
# without a form's token.
read_only = csrf_exempt

urlpatterns = [
    path(f"{PROJECT}main-database/", MainDatabaseView.as_view(), name="main-database"),
    path(f"{PROJECT}backups/find/", read_only(FindView.as_view()), name="backups-find"),
    path(f"{SNAPSHOT}devices/", read_only(DevicesView.as_view()), name="snapshot-devices"),
    path(f"{SNAPSHOT}left-out/", read_only(ExcludedView.as_view()), name="snapshot-excluded"),
    path(f"{SNAPSHOT}compare/", read_only(CompareView.as_view()), name="snapshot-compare"),
    path(f"{SNAPSHOT}download/", DownloadView.as_view(), name="snapshot-download"),
]
