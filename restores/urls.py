"""Addresses of restores."""

from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from restores.views import ConfirmView, RestoreStatusView, RestoreView, RetryView

RESTORE = "restores/<uuid:restore>/"
# As in snapshots/urls.py: what cannot change anything needs no form's token to answer 405.
read_only = csrf_exempt

urlpatterns = [
    path(
        "projects/<slug:slug>/backups/<uuid:snapshot>/restore/",
        ConfirmView.as_view(),
        name="restore-confirm",
    ),
    path(RESTORE, read_only(RestoreView.as_view()), name="restore"),
    path(f"{RESTORE}status/", read_only(RestoreStatusView.as_view()), name="restore-status"),
    path(f"{RESTORE}retry/", RetryView.as_view(), name="restore-retry"),
]
