"""The portal's hooks into allauth: limits, messages, addresses and the audit log."""

from contextlib import suppress
from functools import partial
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.account.models import EmailAddress, EmailConfirmationHMAC
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import HASH_SESSION_KEY, update_session_auth_hash
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from kombu.exceptions import OperationalError

from backups_portal.accounts.lockout_page import locked_page
from backups_portal.accounts.models import Account
from backups_portal.accounts.reauthentication import RECENT, is_recent
from backups_portal.accounts.sign_in_limits import (
    PASSWORD_AGAIN,
    forgive_sign_in,
    take_for,
    take_sign_in,
)
from backups_portal.accounts.tasks import send_notice
from backups_portal.audit.recorder import record
from backups_portal.lib.client_address import client_address
from backups_portal.lib.leased_job import check_broker
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.mail_backend import NOT_ACCEPTED

log = get_logger(__name__)

# Audit events in place of the mails that allauth would send. It reports two more changes only after
# the commit, so TurnOnView and NewCodesView record those.
EVENTS = {
    "account/email/password_changed": "account.password_changed",
    "account/email/password_set": "account.password_changed",
    "account/email/password_reset": "account.password_reset",
    "account/email/email_changed": "account.email_changed",
    "mfa/email/totp_deactivated": "account.second_factor_off",
    "mfa/email/webauthn_added": "account.passkey_added",
    "mfa/email/webauthn_removed": "account.passkey_removed",
    "socialaccount/email/account_connected": "account.single_sign_on_joined",
}
WAYS = {
    "reauthenticate": "Use your password",
    "mfa_reauthenticate": "Use a code from your app, or a recovery code",
    "mfa_reauthenticate:webauthn": "Use a passkey",
}
PENDING = "pending_sign_in"
KINDS = {"totp": "app", "recovery_codes": "recovery", "webauthn": "passkey"}


class AccountAdapter(DefaultAccountAdapter):
    """Limits attempts, words messages, and records events."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": "Wrong e-mail or password. Passwords are case-sensitive.",
        "incorrect_password": "Wrong password.",
        "enter_current_password": "Wrong password.",
        "too_many_login_attempts": "Too many attempts. Try again in 15 minutes.",
        "rate_limited": "Too many attempts. Try again in 15 minutes.",
        "email_taken": "You can't use this e-mail. Choose another one.",
    }

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        if not settings.PASSWORD_SIGN_IN:
            raise PermissionDenied("Passwords are turned off here. Sign in another way.")
        # Count before checking the password, so that right ones take as long as wrong ones.
        if wait := take_sign_in(credentials["email"]):
            raise ImmediateHttpResponse(locked_page(request, wait))

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        account = super().authenticate(request, **credentials)
        if account:
            forgive_sign_in(credentials["email"])
        return account

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        email = credentials["email"]
        record(action="session.refused", actor=None, subject=email)

    def reauthenticate(self, user: Account, password: str) -> bool:
        """Check the password of a signed-in account, with a limit on attempts."""
        if wait := take_for(PASSWORD_AGAIN, user):
            raise ImmediateHttpResponse(locked_page(self.request, wait))
        if not user.check_password(password):
            record(action="account.password_refused", actor=user)
            return False
        PASSWORD_AGAIN.forget(str(user.pk))
        # Checking a password stored by an older hasher rehashes it, which changes the session hash.
        if user.get_session_auth_hash() != self.request.session[HASH_SESSION_KEY]:
            update_session_auth_hash(self.request, user)
        return True

    def post_login(self, request: HttpRequest, user: Account, **kwargs: object) -> HttpResponse:
        response = super().post_login(request, user, **kwargs)
        details: dict[str, object] = {}
        for entry in get_authentication_records(request, user):
            if entry["method"] == "socialaccount":
                details["by"] = "single sign-on"
            elif kind := KINDS.get(entry.get("type", "")):
                details["code"] = kind
        if details.get("code") == "recovery":
            details["recovery_codes_left"] = codes_left(user)
        record(action="session.signed_in", actor=user, details=details)
        return response

    def pre_login(
        self, request: HttpRequest, user: Account, **kwargs: object
    ) -> HttpResponse | None:
        request.session[PENDING] = user.get_session_auth_hash()
        response: HttpResponse | None = super().pre_login(request, user, **kwargs)
        return response

    def login(self, request: HttpRequest, user: Account) -> None:
        # A password change meanwhile ends a sign-in that waits for a code.
        if request.session.pop(PENDING, "") != user.get_session_auth_hash():
            raise ImmediateHttpResponse(redirect("account_login"))
        if not user.is_active:
            raise ImmediateHttpResponse(self.respond_user_inactive(request, user))
        super().login(request, user)

    def respond_user_inactive(self, request: HttpRequest, user: Account) -> HttpResponse:
        record(
            action="session.refused",
            actor=None,
            subject=user.email,
            details={"reason": "account closed"},
        )
        messages.error(request, "This account is closed.")
        return redirect("account_login")

    @transaction.atomic
    def logout(self, request: HttpRequest) -> None:
        account = request.user
        super().logout(request)
        if isinstance(account, Account):
            record(action="session.signed_out", actor=account)

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        is_open = email_address.user.is_active
        try:
            with transaction.atomic():
                return is_open and bool(super().confirm_email(request, email_address))
        except IntegrityError:
            # Another account confirmed the address at the same moment.
            context = {"email": email_address.email}
            failed = "account/messages/email_confirmation_failed.txt"
            self.add_message(request, messages.ERROR, failed, context)
            return False

    def set_password(self, user: Account, password: str) -> None:
        super().set_password(user, password)
        user.end_email_change()

    def send_notification_mail(
        self,
        template_prefix: str,
        user: Account,
        context: dict[str, Any] | None = None,
        email: str | None = None,
    ) -> None:
        if action := EVENTS.get(template_prefix):
            details = {"from": email} if email else None
            record(action=action, actor=user, details=details)
        if email and settings.EMAIL_HOST:
            # Tell the old address, so that its owner notices a change by somebody else.
            transaction.on_commit(partial(_notify, template_prefix, email, context or {}))

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        try:
            super().send_mail(template_prefix, email, context)
        except OSError:
            log.exception(NOT_ACCEPTED)
            messages.error(self.request, "We can't send e-mail right now. Try again later.")
            raise ImmediateHttpResponse(redirect("account_email")) from None

    def get_client_ip(self, request: HttpRequest) -> str:
        # Behind a Unix socket there is no address.
        return client_address() or "::"

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_safe_url(self, url: str) -> bool:
        """Tell whether an address is on this portal; trusted hosts do not count."""
        return url_has_allowed_host_and_scheme(
            url, {self.request.get_host()}, require_https=self.request.is_secure()
        )

    def is_reauthentication_required(self, **kwargs: object) -> bool:
        # An account that can only sign in through the provider confirms there again.
        own = [one for one in self.get_reauthentication_methods(self.request.user) if one["own"]]
        return bool(own) or not is_recent(self.request, RECENT)

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        found = super().get_reauthentication_methods(user)
        hidden = () if settings.PASSWORD_SIGN_IN else ("reauthenticate",)
        methods = [{**method, "own": True} for method in found if method["id"] not in hidden]
        for method in methods:
            method["description"] = WAYS[method["id"]]
        if settings.OIDC_PROVIDER_URL and SocialAccount.objects.filter(user=user).exists():
            name, url = f"Use {settings.OIDC_NAME}", reverse("single-sign-on")
            methods.append({"id": "single-sign-on", "description": name, "url": url, "own": False})
        return methods

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("security")

    def get_email_verification_redirect_url(self, email_address: Any) -> str:
        return reverse("account_email")

    # Links in messages begin with the portal's own address, whatever host the request names.

    def get_reset_password_from_key_url(self, key: str) -> str:
        user, _, token = key.partition("-")
        path = reverse("account_reset_password_from_key", args=[user, token])
        return f"{settings.PORTAL_URL}{path}"

    def get_email_confirmation_url(
        self, request: HttpRequest, emailconfirmation: EmailConfirmationHMAC
    ) -> str:
        path = reverse("account_confirm_email", args=[emailconfirmation.key])
        return f"{settings.PORTAL_URL}{path}"


class SessionsAdapter(DefaultUserSessionsAdapter):
    """Records that browsers were signed out."""

    @transaction.atomic
    def end_sessions(self, sessions: list[UserSession]) -> None:
        super().end_sessions(sessions)
        for session in sessions[:1]:
            details = {"sessions": len(sessions)}
            record(action="session.others_ended", actor=session.user, details=details)


def _notify(template_prefix: str, email: str, context: dict[str, Any]) -> None:
    """Let a worker send a message, so that no page waits; else send it here."""
    try:
        check_broker()
        send_notice.delay(template_prefix, email, context)
    except OperationalError:
        log.warning("could not queue %s, so it is sent at once", template_prefix)
        # The task logs the error itself, and the change stands even if the message is not sent.
        with suppress(OSError):
            send_notice(template_prefix, email, context)


def codes_left(account: Account) -> int:
    """Count the unused recovery codes."""
    kind = Authenticator.Type.RECOVERY_CODES
    codes = Authenticator.objects.filter(user=account, type=kind).first()
    return len(codes.wrap().get_unused_codes()) if codes else 0
