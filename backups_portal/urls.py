"""Every address of the portal."""

from django.urls import URLPattern, URLResolver, include, path

from backups_portal.projects.refusing import refused

handler403 = refused

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include("backups_portal.automation.urls")),
    path("", include("backups_portal.ops.urls")),
    path("", include("backups_portal.accounts.urls")),
    path("", include("backups_portal.projects.urls")),
    path("", include("snapshots.urls")),
    path("", include("restores.urls")),
    path("", include("backups_portal.transfers.urls")),
    path("", include("backups_portal.notifications.urls")),
]

handler500 = "backups_portal.automation.door.server_error"
