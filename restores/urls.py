"""Addresses of backups with their restores, and of restores."""

from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from restores.backups_views import BackupsView
from restores.check_views import CheckRemoveView, ChecksView, CheckView
from restores.snapshot_views import HoldView, ReleaseView, RestoresView, SnapshotView
from restores.views import ConfirmView, RetryView

BACKUPS = "projects/<slug:slug>/backups/"
CHECKS = f"{BACKUPS}checks/"
BACKUP = f"{BACKUPS}<uuid:snapshot>/"
RESTORE = "restores/<uuid:restore>/"
# As in snapshots/urls.py: a read-only view needs no CSRF token to answer 405.
read_only = csrf_exempt

urlpatterns = [
    path(BACKUPS, read_only(BackupsView.as_view()), name="backups"),
    path(CHECKS, ChecksView.as_view(), name="backups-checks"),
    path(f"{CHECKS}<uuid:check>/", CheckView.as_view(), name="backups-check"),
    path(f"{CHECKS}<uuid:check>/remove/", CheckRemoveView.as_view(), name="backups-check-remove"),
    path(BACKUP, read_only(SnapshotView.as_view()), name="snapshot"),
    path(f"{BACKUP}restores/", read_only(RestoresView.as_view()), name="snapshot-restores"),
    path(f"{BACKUP}hold/", HoldView.as_view(), name="snapshot-hold"),
    path(f"{BACKUP}release/", ReleaseView.as_view(), name="snapshot-release"),
    path(f"{BACKUP}restore/", ConfirmView.as_view(), name="restore-confirm"),
    path(f"{RESTORE}retry/", RetryView.as_view(), name="restore-retry"),
]
