"""Forms about a project."""

from datetime import datetime, timedelta

from django import forms
from django.utils import timezone

from backups_portal.accounts.forms import LIFETIMES
from backups_portal.audit.reading import AREAS
from backups_portal.projectdb.profiletokens import NAME_LENGTH
from backups_portal.projects.models import Membership

PERMISSIONS = (
    ("full", "Full"),
    ("write", "Write only"),
    ("read", "Read only"),
)


class TokenForm(forms.Form):
    """A profile token: its name, what it may do, and for how long."""

    name = forms.CharField(
        label="Name",
        help_text="What it is for, such as “migration script”.",
        max_length=NAME_LENGTH,
        error_messages={"required": "Give the token a name."},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    permission = forms.ChoiceField(label="Permission", choices=PERMISSIONS, initial="full")
    lifetime = forms.ChoiceField(
        label="Expires after", choices=LIFETIMES, initial="30", required=False
    )

    def clean_name(self) -> str:
        """One line, without blanks around it."""
        return " ".join(self.cleaned_data["name"].split())

    def expires_at(self) -> datetime | None:
        """When the token stops working; None for never."""
        days = self.cleaned_data["lifetime"]
        return timezone.now() + timedelta(days=int(days)) if days else None


class InvitationForm(forms.Form):
    """Whom to invite, and as what."""

    email = forms.EmailField(
        label="E-mail",
        help_text="With which they sign in here.",
        error_messages={"required": "Enter the e-mail of whom you invite."},
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    role = forms.ChoiceField(
        label="Role",
        choices=Membership.Role.choices,
        initial=Membership.Role.COLLABORATOR,
        help_text="Collaborators see the project and its main database, but no backups.",
    )


class ShutDownForm(forms.Form):
    """The name of the project, typed once more."""

    name = forms.CharField(
        label="Project name",
        max_length=200,
        error_messages={"required": "Type the name of the project to confirm."},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class ActivityForm(forms.Form):
    """Which part of the audit log is shown."""

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
