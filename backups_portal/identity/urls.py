"""List the addresses of the ids and tokens of a project."""

from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from backups_portal.identity import id_views, token_views

# As in snapshots/urls.py: what cannot change anything needs no form's token to answer 405.
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
