"""The form for a new API token."""

from django import forms

from backups_portal.access_tokens.scopes import Scope
from backups_portal.ui.token_form import NewTokenForm, lifetime_field, name_field


class AccessTokenForm(NewTokenForm):
    """The name, scopes and lifetime of an API token."""

    name = name_field("weekly restore drill", autofocus=True)
    lifetime = lifetime_field("90")
    scopes = forms.MultipleChoiceField(
        label="What it can do",
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one thing the token can do."},
    )
