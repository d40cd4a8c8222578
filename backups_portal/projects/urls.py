"""Addresses of projects, their members and their API."""

from django.urls import path

from backups_portal.projects.api_views import ApiView, RevokeTokenView
from backups_portal.projects.member_views import (
    AnswerView,
    MembersView,
    RemoveView,
    WithdrawView,
)
from backups_portal.projects.shutdown_views import ShutDownView, StartAgainView

urlpatterns = [
    path("projects/<slug:slug>/shut-down/", ShutDownView.as_view(), name="shut-down"),
    path("projects/<slug:slug>/start-again/", StartAgainView.as_view(), name="start-again"),
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
