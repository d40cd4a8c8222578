"""Addresses of projects and their charges."""

from django.urls import path

from backups_portal.projects.api_views import ApiView, RevokeTokenView
from backups_portal.projects.views import ChargesView, ProjectListView, ProjectView

urlpatterns = [
    path("", ProjectListView.as_view(), name="projects"),
    path("projects/<slug:slug>/", ProjectView.as_view(), name="project"),
    path("projects/<slug:slug>/charges/", ChargesView.as_view(), name="charges"),
    path("projects/<slug:slug>/api/", ApiView.as_view(), name="api"),
    path(
        "projects/<slug:slug>/api/tokens/<str:token>/revoke/",
        RevokeTokenView.as_view(),
        name="api-token-revoke",
    ),
]
