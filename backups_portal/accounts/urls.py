"""Route the addresses of accounts."""

from django.urls import path

from backups_portal.accounts.access_token_views import (
    AccessTokensView,
    NewAccessTokenView,
    RevokeAccessTokenView,
)
from backups_portal.accounts.password_views import (
    ChangePasswordView,
    ForgottenView,
    NewPasswordView,
)
from backups_portal.accounts.second_factor_views import SignInCodeView
from backups_portal.accounts.security_views import (
    EndOthersView,
    EndSessionView,
    NewCodesView,
    PasswordAgainView,
    SecretPictureView,
    SecurityView,
    TurnOffView,
    TurnOnView,
)
from backups_portal.accounts.views import SignInView, SignOutView

urlpatterns = [
    path("sign-in/", SignInView.as_view(), name="sign-in"),
    path("sign-in/code/", SignInCodeView.as_view(), name="sign-in-code"),
    path("sign-in/forgotten/", ForgottenView.as_view(), name="forgotten"),
    path("sign-in/new-password/", NewPasswordView.as_view(), name="new-password"),
    path("account/password/", ChangePasswordView.as_view(), name="change-password"),
    path("account/", SecurityView.as_view(), name="security"),
    path("account/password-again/", PasswordAgainView.as_view(), name="password-again"),
    path("account/second-factor/", TurnOnView.as_view(), name="second-factor"),
    path(
        "account/second-factor/code.svg", SecretPictureView.as_view(), name="second-factor-picture"
    ),
    path("account/second-factor/off/", TurnOffView.as_view(), name="second-factor-off"),
    path("account/recovery-codes/", NewCodesView.as_view(), name="recovery-codes"),
    path("account/sessions/end-others/", EndOthersView.as_view(), name="sessions-end-others"),
    path("account/sessions/<slug:handle>/end/", EndSessionView.as_view(), name="session-end"),
    path("account/tokens/", AccessTokensView.as_view(), name="access-tokens"),
    path("account/tokens/new/", NewAccessTokenView.as_view(), name="access-token-new"),
    path(
        "account/tokens/<int:access_token>/revoke/",
        RevokeAccessTokenView.as_view(),
        name="access-token-revoke",
    ),
    path("sign-out/", SignOutView.as_view(), name="sign-out"),
]
