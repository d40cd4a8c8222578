"""Addresses of a project's ids and tokens."""

from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from backups_portal.replaced_ids import id_views, token_views

# As in snapshots/urls.py: a read-only view can answer 405 without a CSRF token.
read_only = csrf_exempt

urlpatterns = [
    path("projects/<slug:slug>/ids/", id_views.IdsView.as_view(), name="ids"),
    path("projects/<slug:slug>/tokens/", token_views.TokensView.as_view(), name="tokens"),
    path(
        "projects/<slug:slug>/tokens.csv",
        read_only(token_views.TokensCsvView.as_view()),
        name="tokens-csv",
    ),
    path(
        "projects/<slug:slug>/ids/variables.csv",
        read_only(id_views.VariablesCsvView.as_view()),
        name="ids-variables",
    ),
]
