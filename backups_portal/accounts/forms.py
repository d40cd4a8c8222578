"""Define the forms of accounts."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.password_validation import (
    password_validators_help_texts,
    validate_password,
)
from django.utils import timezone

from backups_portal.accounts.models import AccessToken, Account
from backups_portal.accounts.scopes import Scope
from backups_portal.ui.form_widgets import OnceInput
from backups_portal.ui.visible_names import name_problem

# The lifetimes of tokens that the form offers, in days.
LIFETIMES = (
    ("1", "1 day"),
    ("7", "7 days"),
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "1 year"),
    ("", "Never"),
)
NO_EMAIL, NO_PASSWORD = "Enter your e-mail.", "Enter your password."


class SignInForm(AuthenticationForm):
    """E-mail and password; the e-mail in any case."""

    username = forms.EmailField(
        label="E-mail",
        error_messages={"required": NO_EMAIL},
        widget=forms.EmailInput(attrs={"autofocus": True, "autocomplete": "username"}),
    )
    password = forms.CharField(
        label="Password",
        strip=False,
        error_messages={"required": NO_PASSWORD},
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    error_messages = {
        "invalid_login": "Wrong e-mail or password. Passwords are case-sensitive.",
        "inactive": "This account is closed.",
    }


class CodeForm(forms.Form):
    """A code of the authenticator app, or a recovery code."""

    code = forms.CharField(
        label="Code",
        max_length=40,
        error_messages={"required": "Enter the code from your app, or a recovery code."},
        widget=OnceInput(
            attrs={
                "autofocus": True,
                "autocomplete": "one-time-code",
                "autocapitalize": "off",
                "spellcheck": "false",
            }
        ),
    )


class PasswordForm(forms.Form):
    """The password again: a browser that was left open is not enough."""

    password = forms.CharField(
        label="Your password",
        strip=False,
        max_length=4096,
        error_messages={"required": NO_PASSWORD},
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class TurnOnForm(PasswordForm):
    """A first code proves that the app has the secret."""

    code = forms.CharField(
        label="Code from your app",
        max_length=10,
        error_messages={"required": "Enter the code from your app."},
        widget=OnceInput(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "spellcheck": "false"}
        ),
    )
    field_order = ("code", "password")


class ForgottenForm(forms.Form):
    """The address of a forgotten password."""

    email = forms.EmailField(
        label="E-mail",
        max_length=254,
        error_messages={"required": NO_EMAIL},
        widget=forms.EmailInput(attrs={"autofocus": True, "autocomplete": "username"}),
    )


class NewPasswordForm(forms.Form):
    """A new password, typed twice because it is hidden."""

    new_password = forms.CharField(
        label="New password",
        help_text=" ".join(password_validators_help_texts()),
        strip=False,
        max_length=4096,
        error_messages={"required": "Enter a new password."},
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    repeated = forms.CharField(
        label="Repeat the new password",
        strip=False,
        max_length=4096,
        error_messages={"required": "Repeat the new password."},
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, account: Account, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._account = account

    def clean_new_password(self) -> str:
        """Refuse a password that is short or common."""
        password: str = self.cleaned_data["new_password"]
        validate_password(password, self._account)
        return password

    def clean_repeated(self) -> str:
        """Refuse two passwords that differ."""
        repeated: str = self.cleaned_data["repeated"]
        if repeated != self.cleaned_data.get("new_password", repeated):
            raise forms.ValidationError("The passwords don't match. Type the new password again.")
        return repeated


class ChangePasswordForm(NewPasswordForm, PasswordForm):
    """A new password, together with the old one."""

    field_order = ("password", "new_password", "repeated")


class AccessTokenForm(forms.Form):
    """An API token: what it is for, what it may do, and for how long."""

    name = forms.CharField(
        label="Name",
        help_text="What it is for, such as “weekly restore drill”.",
        max_length=AccessToken._meta.get_field("name").max_length,
        error_messages={"required": "Enter a name for the token."},
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )
    lifetime = forms.ChoiceField(
        label="Expires after", choices=LIFETIMES, initial="90", required=False
    )
    scopes = forms.MultipleChoiceField(
        label="What it can do",
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one thing the token can do."},
    )

    def clean_name(self) -> str:
        """Return one line, without blanks around it."""
        name = " ".join(self.cleaned_data["name"].split())
        if problem := name_problem(name):
            raise forms.ValidationError(problem)
        return name

    def expires_at(self) -> datetime | None:
        """Return when the token stops working; None for never."""
        days = self.cleaned_data["lifetime"]
        return timezone.now() + timedelta(days=int(days)) if days else None
