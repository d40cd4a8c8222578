"""Forms about a project."""

from datetime import datetime, timedelta

from django import forms
from django.utils import timezone

from backups_portal.accounts.forms import LIFETIMES
from backups_portal.audit.audit_log import AREAS
from backups_portal.projectdb.profile_tokens import NAME_LENGTH
from backups_portal.projects.models import Membership
from backups_portal.ui.visible_names import name_problem

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
        error_messages={"required": "Enter a name for the token."},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    permission = forms.ChoiceField(label="Permission", choices=PERMISSIONS, initial="full")
    lifetime = forms.ChoiceField(
        label="Expires after", choices=LIFETIMES, initial="30", required=False
    )

    def clean_name(self) -> str:
        """Make it one line, without blanks around it."""
        name = " ".join(self.cleaned_data["name"].split())
        if problem := name_problem(name):
            raise forms.ValidationError(problem)
        return name

    def expires_at(self) -> datetime | None:
        """Return when the token stops working; None for never."""
        days = self.cleaned_data["lifetime"]
        return timezone.now() + timedelta(days=int(days)) if days else None


class InvitationForm(forms.Form):
    """Whom to invite, and as what."""

    email = forms.EmailField(
        label="E-mail",
        help_text="The address they sign in with, or will once they have an account.",
        error_messages={"required": "Enter the e-mail of the person to invite."},
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    role = forms.ChoiceField(
        label="Role",
        choices=Membership.Role.choices,
        initial=Membership.Role.COLLABORATOR,
        help_text="Collaborators see the project and its main database, but not its backups.",
    )


class ShutDownForm(forms.Form):
    """The name of the project, typed once more."""

    name = forms.CharField(
        label="Project name",
        max_length=200,
        error_messages={"required": "Type the project's name to confirm."},
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
