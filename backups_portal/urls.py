"""Every address of the portal."""

from django.urls import URLPattern, URLResolver, include, path
from django.views.decorators.csrf import csrf_exempt

from backups_portal.accounts.lockout_page import too_many_requests
from backups_portal.projects.refusal_page import refused
from backups_portal.tagoio_api.reference_page import ProjectReferenceView
from backups_portal.ui.favicon import favicon

handler403 = refused
# For allauth's limits.
handler429 = too_many_requests

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include("backups_portal.portal_api.urls")),
    path("favicon.ico", favicon, name="favicon"),
    path("", include("backups_portal.ops.urls")),
    path("", include("backups_portal.accounts.urls")),
    path("", include("backups_portal.access_tokens.urls")),
    path("", include("backups_portal.overview.urls")),
    path("", include("backups_portal.projects.urls")),
    path("", include("snapshots.urls")),
    path("", include("restores.urls")),
    path("", include("backups_portal.objectives.urls")),
    path("", include("backups_portal.transfers.urls")),
    path("", include("backups_portal.replaced_ids.urls")),
    path("", include("backups_portal.evidence.urls")),
    path("", include("backups_portal.notifications.urls")),
    path(
        "projects/<slug:slug>/api/reference/",
        # A read-only view can answer 405 without a CSRF token.
        csrf_exempt(ProjectReferenceView.as_view()),
        name="api-reference",
    ),
]

handler400 = "backups_portal.portal_api.view_wrapper.bad_request"
handler500 = "backups_portal.portal_api.view_wrapper.server_error"
