"""Every address of the portal."""

from importlib.util import find_spec

from django.urls import URLPattern, URLResolver, include, path

PARTS = [
    "backups_portal.ops.urls",
    "backups_portal.accounts.urls",
    "backups_portal.projects.urls",
    "snapshots.urls",
    "restores.urls",
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include(part)) for part in PARTS if find_spec(part)
]
