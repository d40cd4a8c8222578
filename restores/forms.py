"""Forms of this app; the services validate their values."""

import uuid

from django import forms

from backups_portal.projects.project_creation import NAME_LENGTH

# For a hidden field, which no person fills in.
DAMAGED = "This form was damaged on the way. Reload the page."


class RestoreForm(forms.Form):
    """The name and the consent that a restore needs."""

    name = forms.CharField(
        label="Name of the new project",
        required=False,
        widget=forms.TextInput(
            attrs={"required": True, "maxlength": NAME_LENGTH, "autocomplete": "off"}
        ),
    )
    accept_charges = forms.BooleanField(
        label="I accept these charges",
        required=False,
        # A browser that restores form values must not tick it again.
        widget=forms.CheckboxInput(attrs={"required": True, "autocomplete": "off"}),
    )
    # Made with the page, so that a second click asks for the same restore.
    request_key = forms.UUIDField(
        required=False,
        widget=forms.HiddenInput(),
        error_messages={"invalid": DAMAGED},
    )
    # The prices that the page showed; see `Quote.terms`.
    quote = forms.CharField(required=False, widget=forms.HiddenInput())

    def clean_request_key(self) -> uuid.UUID:
        """Return a new key for a form that came without one."""
        return self.cleaned_data["request_key"] or uuid.uuid4()
