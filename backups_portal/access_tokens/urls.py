"""Addresses of the pages of an account's API tokens."""

from django.urls import path

from backups_portal.access_tokens.views import (
    AccessTokensView,
    NewAccessTokenView,
    RevokeAccessTokenView,
)

urlpatterns = [
    path("account/tokens/", AccessTokensView.as_view(), name="access-tokens"),
    path("account/tokens/new/", NewAccessTokenView.as_view(), name="access-token-new"),
    path(
        "account/tokens/<int:access_token>/revoke/",
        RevokeAccessTokenView.as_view(),
        name="access-token-revoke",
    ),
]
