"""The shared parts of forms for new tokens."""

from datetime import datetime, timedelta

from django import forms
from django.utils import timezone

from backups_portal.ui.visible_names import name_problem

# Choices of lifetimes, in days.
LIFETIMES = (
    ("1", "1 day"),
    ("7", "7 days"),
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "1 year"),
    ("", "Never"),
)


def name_field(example: str, **attributes: object) -> forms.CharField:
    """Make a field for a token's name, which says what it is for."""
    return forms.CharField(
        label="Name",
        help_text=f"What it is for, such as “{example}”.",
        max_length=100,
        error_messages={"required": "Enter a name for the token."},
        widget=forms.TextInput(attrs={"autocomplete": "off", **attributes}),
    )


def lifetime_field(days: str) -> forms.ChoiceField:
    """Make a field for a token's lifetime, `days` by default."""
    return forms.ChoiceField(label="Expires after", choices=LIFETIMES, initial=days, required=False)


class NewTokenForm(forms.Form):
    """A form with a name and a lifetime."""

    def clean_name(self) -> str:
        """Collapse blanks and line breaks, and check the name."""
        name = " ".join(self.cleaned_data["name"].split())
        if problem := name_problem(name):
            raise forms.ValidationError(problem)
        return name

    def expires_at(self) -> datetime | None:
        """Return when the token expires; None for never."""
        days = self.cleaned_data["lifetime"]
        return timezone.now() + timedelta(days=int(days)) if days else None
