"""The forms of accounts: allauth's, in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from allauth.account import forms as account
from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.base import forms as mfa
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.webauthn import forms as passkeys
from celery.exceptions import OperationalError
from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import password_validators_help_texts
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.shortcuts import render

from backups_portal.accounts.lockout_page import locked_page
from backups_portal.accounts.models import Account
from backups_portal.accounts.password_reset import can_send
from backups_portal.accounts.second_factor import NO_PASSKEY, WRONG_CODE
from backups_portal.accounts.sign_in_limits import CODE, PASSKEY_TOLD, RESET, attempts_key, take_for
from backups_portal.accounts.tasks import send_reset_link
from backups_portal.audit.recorder import record
from backups_portal.lib.client_address import client_address, neighbourhood
from backups_portal.lib.leased_job import check_broker
from backups_portal.lib.loggers import get_logger
from backups_portal.ui.form_widgets import OnceInput
from backups_portal.ui.visible_names import name_problem

log = get_logger(__name__)

# Raised by libraries for a wrong or malformed answer.
NOT_AN_ANSWER = (ValidationError, KeyError, TypeError, ValueError, RecursionError)
NO_EMAIL, NO_PASSWORD = "Enter your e-mail.", "Enter your password."


def email_field(**attributes: object) -> account.EmailField:
    """Make a field for an e-mail."""
    return account.EmailField(
        label="E-mail",
        max_length=254,
        error_messages={"required": NO_EMAIL},
        widget=forms.EmailInput(attrs={"autocomplete": "username", **attributes}),
    )


def password_field(
    label: str, missing: str = NO_PASSWORD, *, help_text: str = "", **attributes: object
) -> forms.CharField:
    """Make a password field: the current one unless `autocomplete` differs."""
    return forms.CharField(
        label=label,
        help_text=help_text,
        strip=False,
        max_length=4096,
        error_messages={"required": missing},
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", **attributes}),
    )


def code_field(label: str, missing: str) -> forms.CharField:
    """Make a field for a code that works once."""
    attributes = {"autocomplete": "one-time-code", "autocapitalize": "off", "spellcheck": "false"}
    return forms.CharField(
        label=label,
        max_length=40,
        error_messages={"required": missing},
        widget=OnceInput(attrs={"autofocus": True, **attributes}),
    )


class SignInForm(account.LoginForm):
    """E-mail and password; the case of the e-mail does not matter."""

    password = password_field("Password")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"] = email_field(autofocus=True)
        self.order_fields(["login", "password"])

    def add_prefix(self, field_name: str) -> str:
        # The field's name before allauth, which password managers and scripts know.
        return super().add_prefix("username" if field_name == "login" else field_name)


class PasswordForm(account.ReauthenticateForm):
    """The password again, in case the browser was left open."""

    password = password_field("Your password", autofocus=True)


@contextmanager
def counted(account: Account, refused_as: str) -> Iterator[None]:
    """Count an attempt at a second factor, and record a wrong one.

    Raises:
        ImmediateHttpResponse: there were too many attempts.
    """
    request = context.request
    # Counted together with attempts at the projects' API, which allauth's own limit cannot see.
    if wait := take_for(CODE, account):
        raise ImmediateHttpResponse(locked_page(request, wait))
    try:
        yield
    except NOT_AN_ANSWER:
        record(action=refused_as, actor=account)
        raise
    CODE.forget(str(account.pk))


class CodeMixin(forms.Form):
    """A code with a limit on attempts."""

    user: Any = None

    def clean_code(self) -> str:
        try:
            with counted(self.user, "session.code_refused"):
                code: str = super().clean_code()  # type: ignore[misc]
        except ValidationError as refused:
            is_wrong = refused.code == "incorrect_code"
            raise ValidationError(WRONG_CODE) if is_wrong else refused from None
        return code


class CodeForm(CodeMixin, mfa.AuthenticateForm):
    """A code of the authenticator app, or a recovery code."""

    code = code_field("Code", "Enter the code from your app, or a recovery code.")


class CodeAgainForm(CodeMixin, mfa.ReauthenticateForm):
    """The same, to confirm an identity."""

    code = code_field("Code", "Enter the code from your app, or a recovery code.")


class TurnOnForm(CodeMixin, ActivateTOTPForm):
    """The first code, which proves that the app has the secret."""

    code = code_field("Code from your app", "Enter the code from your app.")


class PasskeyMixin(forms.Form):
    """The answer of a browser's authenticator; libraries raise for malformed ones."""

    credential = forms.JSONField(
        widget=forms.HiddenInput,
        error_messages={"required": NO_PASSKEY, "invalid": NO_PASSKEY},
    )

    def full_clean(self) -> None:
        try:
            super().full_clean()
        except NOT_AN_ANSWER:
            self.add_error("credential", NO_PASSKEY)


class PasskeySignInForm(PasskeyMixin, passkeys.LoginWebAuthnForm):
    """A passkey in place of the password."""

    def clean_credential(self) -> Any:
        """Refuse a wrong passkey, and record it."""
        try:
            return super().clean_credential()
        except NOT_AN_ANSWER:
            if not PASSKEY_TOLD.take(neighbourhood(client_address())):
                record(action="session.passkey_refused", actor=None)
            raise


class CountedPasskeyMixin:
    """A passkey of a known account, counted together with its codes."""

    user: Any = None

    def clean_credential(self) -> Any:
        """Refuse a wrong passkey, and record it."""
        with counted(self.user, "session.passkey_refused"):
            return super().clean_credential()  # type: ignore[misc]


class PasskeyForm(CountedPasskeyMixin, PasskeyMixin, passkeys.AuthenticateWebAuthnForm):
    """A passkey after the password."""


class PasskeyAgainForm(CountedPasskeyMixin, PasskeyMixin, passkeys.ReauthenticateWebAuthnForm):
    """A passkey to confirm an identity."""


class NewPasskeyForm(PasskeyMixin, passkeys.AddWebAuthnForm):
    """The name of a passkey, and whether it replaces the password."""

    name = forms.CharField(
        label="Name",
        help_text="Where you keep it, such as “phone” or “security key”.",
        max_length=100,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    passwordless = forms.BooleanField(
        label="Sign in without a password", required=False, initial=True
    )

    def clean_name(self) -> str:
        """Return the name as one visible line."""
        name = " ".join(super().clean_name().split())
        if problem := name_problem(name):
            raise ValidationError(problem)
        return name


class ForgottenForm(account.ResetPasswordForm):
    """The e-mail address of an account with a forgotten password."""

    email = email_field(autofocus=True)

    def clean_email(self) -> str:
        # allauth's would look up the account.
        if not can_send():
            raise ValidationError("This portal can't send e-mail.")
        return str(self.cleaned_data["email"])

    def save(self, request: HttpRequest, **_: object) -> str:
        """Let a worker look up the account, as the time here would reveal it."""
        email = self.cleaned_data["email"]
        # A few per account and hour: a visitor who requests another already has a message.
        if not RESET.take(attempts_key(email)):
            record(action="account.link_wanted", actor=None, subject=email)
            try:
                check_broker()
                send_reset_link.delay(email)
            except OperationalError:
                log.exception("could not queue the password reset link")
                self.add_error(None, "We can't send e-mail right now. Try again in a few minutes.")
                page = {"form": self, "can_send": can_send}
                status = HTTPStatus.SERVICE_UNAVAILABLE
                raise ImmediateHttpResponse(
                    render(request, "account/password_reset.html", page, status=status)
                ) from None
        return email


class TwiceMixin(forms.Form):
    """A new password, typed twice because it is hidden."""

    password1 = password_field(
        "New password",
        "Enter a new password.",
        help_text=" ".join(password_validators_help_texts()),
        autocomplete="new-password",
    )
    password2 = password_field(
        "Repeat the new password", "Repeat the new password.", autocomplete="new-password"
    )
    user: Any = None

    def clean_password1(self) -> str:
        """Refuse a password that is short or common."""
        return str(get_adapter().clean_password(self.cleaned_data["password1"], user=self.user))

    def clean_password2(self) -> str:
        """Refuse two passwords that differ."""
        repeated: str = self.cleaned_data["password2"]
        if repeated != self.cleaned_data.get("password1", repeated):
            raise ValidationError("The passwords don't match. Type the new password again.")
        return repeated


class ResetLinkForm(account.UserTokenForm):
    """The link to set a new password, which is invalid for a closed account."""

    def clean(self) -> dict[str, Any]:
        """Refuse the link if the new password could not be used to sign in."""
        cleaned: dict[str, Any] = super().clean()
        if not (settings.PASSWORD_SIGN_IN and self.reset_user.is_active):
            raise get_adapter().validation_error("invalid_password_reset")
        return cleaned


class NewPasswordForm(TwiceMixin, account.ResetPasswordKeyForm):
    """A new password in place of a forgotten one."""


class FirstPasswordForm(TwiceMixin, account.SetPasswordForm):
    """A password for an account that had none."""


class ChangePasswordForm(TwiceMixin, account.ChangePasswordForm):
    """A new password, together with the old one."""

    oldpassword = password_field("Your password")

    def clean_oldpassword(self) -> str:
        """Refuse a wrong password, and count it."""
        if not get_adapter().reauthenticate(self.user, self.cleaned_data["oldpassword"]):
            raise get_adapter().validation_error("enter_current_password")
        return str(self.cleaned_data["oldpassword"])


class NewEmailForm(account.AddEmailForm):
    """Another e-mail, which counts once its link has been opened."""

    user: Any = None
    email = email_field()

    def save(self, request: HttpRequest) -> EmailAddress:
        """Store the address and send its link; once for a double click."""
        with transaction.atomic():
            Account.objects.select_for_update().get(pk=self.user.pk)
            mine = EmailAddress.objects.filter(user=self.user, email=self.cleaned_data["email"])
            stored: EmailAddress | None = mine.first()
            return stored or super().save(request)
