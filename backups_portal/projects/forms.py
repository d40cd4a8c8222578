"""Forms about a project."""

from datetime import datetime, timedelta

from django import forms
from django.utils import timezone

from backups_portal.projectdb.profiletokens import NAME_LENGTH

LIFETIMES = (
    ("1", "1 day"),
    ("7", "7 days"),
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "1 year"),
    ("", "Never"),
)
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
