"""Forms of who signs in."""

from django import forms
from django.contrib.auth.forms import AuthenticationForm


class SignInForm(AuthenticationForm):
    """E-mail and password; the e-mail in any case."""

    username = forms.EmailField(
        label="E-mail",
        widget=forms.EmailInput(attrs={"autofocus": True, "autocomplete": "username"}),
    )
    error_messages = {
        "invalid_login": "That e-mail and password do not belong together. Check both, "
        "and mind that the password tells capitals apart.",
        "inactive": "This account is closed.",
    }
