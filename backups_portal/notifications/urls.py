"""URLs of a project's notifications."""

from django.urls import path

from backups_portal.notifications.digest_views import DigestOffView
from backups_portal.notifications.views import (
    NotificationsView,
    RenewSecretView,
    SendTestView,
)

PAGE = "projects/<slug:slug>/notifications/"

urlpatterns = [
    path(PAGE, NotificationsView.as_view(), name="notifications"),
    path(f"{PAGE}secret/", RenewSecretView.as_view(), name="notifications-secret"),
    path("digest/off/<str:signed>/", DigestOffView.as_view(), name="digest-off"),
    path(f"{PAGE}test/", SendTestView.as_view(), name="notifications-test"),
]
