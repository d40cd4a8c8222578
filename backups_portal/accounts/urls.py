"""Addresses of accounts: those of allauth's views that the portal offers."""

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as passkeys
from allauth.usersessions.views import ListUserSessionsView
from django.conf import settings
from django.db import transaction
from django.urls import path, re_path, reverse_lazy

from backups_portal.accounts.password_reset import NewPasswordView, can_send, needs_passwords
from backups_portal.accounts.security_views import (
    ChangePasswordView,
    CodeView,
    EndSessionView,
    NewCodesView,
    SecurityView,
    TurnOnView,
)
from backups_portal.accounts.single_sign_on import single_sign_on, single_sign_on_callback

FORM, POST = ["get", "head", "post"], ["post"]
BACK = reverse_lazy("security")
ASKED = {"settings": settings, "can_send": can_send}

sign_in = account.LoginView.as_view(http_method_names=FORM, extra_context=ASKED)
forgotten = needs_passwords(
    account.PasswordResetView.as_view(http_method_names=FORM, extra_context=ASKED)
)
link_sent = needs_passwords(account.password_reset_done)
# Each change and its audit event are one transaction.
new_password = transaction.atomic(NewPasswordView.as_view(extra_context=ASKED))
password_change = needs_passwords(ChangePasswordView.as_view())
first_password = transaction.atomic(needs_passwords(account.password_set))
turn_off = transaction.atomic(totp.DeactivateTOTPView.as_view(success_url=BACK))
add_passkey = transaction.atomic(passkeys.add_webauthn)
remove_passkey = transaction.atomic(passkeys.RemoveWebAuthnView.as_view(success_url=BACK))
email = account.EmailView.as_view(http_method_names=FORM, extra_context=ASKED)
end_others = ListUserSessionsView.as_view(http_method_names=POST, success_url=BACK)
sign_out = account.LogoutView.as_view(http_method_names=POST)

# allauth looks up its views by these names.
urlpatterns = [
    path("sign-in/", sign_in, name="account_login"),
    path("sign-in/code/", CodeView.as_view(), name="mfa_authenticate"),
    path("sign-in/passkey/", passkeys.login_webauthn, name="mfa_login_webauthn"),
    path("sign-in/single/", single_sign_on, name="single-sign-on"),
    path("sign-in/single/back/", single_sign_on_callback, name="single-sign-on-callback"),
    path("sign-in/forgotten/", forgotten, name="account_reset_password"),
    path("sign-in/forgotten/sent/", link_sent, name="account_reset_password_done"),
    # Without a key: the target of version 0.1's links.
    path("sign-in/new-password/", new_password, {"uidb36": "0", "key": "0"}, name="new-password"),
    re_path(
        "^sign-in/new-password/(?P<uidb36>[0-9a-z]+)-(?P<key>[^/]+)/$",
        new_password,
        name="account_reset_password_from_key",
    ),
    path("sign-out/", sign_out, name="account_logout"),
    path("account/", SecurityView.as_view(), name="security"),
    path("account/", SecurityView.as_view(), name="mfa_index"),
    path("account/email/", email, name="account_email"),
    path("account/email/<key>/", account.confirm_email, name="account_confirm_email"),
    path("account/password/", password_change, name="account_change_password"),
    path("account/password/first/", first_password, name="account_set_password"),
    path("account/password-again/", account.reauthenticate, name="account_reauthenticate"),
    path("account/password-again/code/", mfa.reauthenticate, name="mfa_reauthenticate"),
    path(
        "account/password-again/passkey/",
        passkeys.reauthenticate_webauthn,
        name="mfa_reauthenticate_webauthn",
    ),
    path("account/second-factor/", TurnOnView.as_view(), name="mfa_activate_totp"),
    path("account/second-factor/off/", turn_off, name="mfa_deactivate_totp"),
    path("account/passkeys/new/", add_passkey, name="mfa_add_webauthn"),
    path("account/passkeys/<int:pk>/remove/", remove_passkey, name="mfa_remove_webauthn"),
    path(
        "account/recovery-codes/",
        recovery_codes.view_recovery_codes,
        name="mfa_view_recovery_codes",
    ),
    path("account/recovery-codes/new/", NewCodesView.as_view(), name="mfa_generate_recovery_codes"),
    path("account/sessions/end-others/", end_others, name="usersessions_list"),
    path("account/sessions/<int:session>/end/", EndSessionView.as_view(), name="session-end"),
]
