"""Forms about a project."""

from django import forms

from backups_portal.audit.audit_log import AREAS
from backups_portal.projects.models import Membership
from backups_portal.ui.token_form import NewTokenForm, lifetime_field, name_field

PERMISSIONS = (
    ("full", "Full"),
    ("write", "Write only"),
    ("read", "Read only"),
)


class TokenForm(NewTokenForm):
    """A profile token: its name, permission and lifetime."""

    name = name_field("migration script")
    permission = forms.ChoiceField(label="Permission", choices=PERMISSIONS, initial="full")
    lifetime = lifetime_field("30")


class InvitationForm(forms.Form):
    """An invitation: the e-mail and the role."""

    email = forms.EmailField(
        label="E-mail",
        max_length=254,
        help_text="The address they sign in with, or will once they have an account.",
        error_messages={"required": "Enter the e-mail of the person to invite."},
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    role = forms.ChoiceField(
        label="Role",
        choices=Membership.Role.choices,
        initial=Membership.Role.COLLABORATOR,
    )

    def clean_email(self) -> str:
        """Return the address in lower case, which may be longer."""
        email = str(self.cleaned_data["email"]).lower()
        self.fields["email"].run_validators(email)
        return email


class ShutDownForm(forms.Form):
    """The name of the project, typed once more."""

    name = forms.CharField(
        label="Project name",
        max_length=200,
        error_messages={"required": "Type the project's name to confirm."},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class ActivityForm(forms.Form):
    """The part of the audit log to show."""

    area = forms.ChoiceField(
        label="What", choices=[("", "Everything"), *AREAS.items()], required=False
    )
    who = forms.CharField(label="Who (e-mail)", max_length=254, required=False)
    since = forms.DateField(
        label="From (UTC)", required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    until = forms.DateField(
        label="Until (UTC)", required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
