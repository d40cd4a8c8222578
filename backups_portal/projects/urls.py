"""Addresses of projects and their charges."""

from django.urls import path

from backups_portal.projects.activity import ActivityCsvView, ActivityView
from backups_portal.projects.api_views import ApiView, RevokeTokenView
from backups_portal.projects.member_views import (
    AnswerView,
    MembersView,
    RemoveView,
    WithdrawView,
)
from backups_portal.projects.shutting_down_views import ShutDownView, StartAgainView
from backups_portal.projects.views import (
    AllChargesCsvView,
    AllChargesView,
    ChargesCsvView,
    ChargesView,
    ProjectListView,
    ProjectView,
)

urlpatterns = [
    path("", ProjectListView.as_view(), name="projects"),
    path("charges/", AllChargesView.as_view(), name="all-charges"),
    path("charges/csv/", AllChargesCsvView.as_view(), name="all-charges-csv"),
    path("projects/<slug:slug>/", ProjectView.as_view(), name="project"),
    path("projects/<slug:slug>/charges/", ChargesView.as_view(), name="charges"),
    path("projects/<slug:slug>/charges/csv/", ChargesCsvView.as_view(), name="charges-csv"),
    path("projects/<slug:slug>/shut-down/", ShutDownView.as_view(), name="shut-down"),
    path("projects/<slug:slug>/start-again/", StartAgainView.as_view(), name="start-again"),
    path("projects/<slug:slug>/activity/", ActivityView.as_view(), name="activity"),
    path("projects/<slug:slug>/activity/csv/", ActivityCsvView.as_view(), name="activity-csv"),
    path("projects/<slug:slug>/members/", MembersView.as_view(), name="members"),
    path(
        "projects/<slug:slug>/members/<int:member>/remove/",
        RemoveView.as_view(),
        name="member-remove",
    ),
    path(
        "projects/<slug:slug>/members/invitations/<int:invitation>/withdraw/",
        WithdrawView.as_view(),
        name="invitation-withdraw",
    ),
    path("invitations/<int:invitation>/accept/", AnswerView.as_view(), name="invitation-accept"),
    path(
        "invitations/<int:invitation>/decline/",
        AnswerView.as_view(accept=False),
        name="invitation-decline",
    ),
    path("projects/<slug:slug>/api/", ApiView.as_view(), name="api"),
    path(
        "projects/<slug:slug>/api/tokens/<str:token>/revoke/",
        RevokeTokenView.as_view(),
        name="api-token-revoke",
    ),
]
