"""Define what the forms of new tokens have in common."""

from datetime import datetime, timedelta

from django import forms
from django.utils import timezone

from backups_portal.ui.visible_names import name_problem

# In days.
LIFETIMES = (
    ("1", "1 day"),
    ("7", "7 days"),
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "1 year"),
    ("", "Never"),
)


def name_field(example: str, **attributes: object) -> forms.CharField:
    """Make a field for what a token is for."""
    return forms.CharField(
        label="Name",
        help_text=f"What it is for, such as “{example}”.",
        max_length=100,
        error_messages={"required": "Enter a name for the token."},
        widget=forms.TextInput(attrs={"autocomplete": "off", **attributes}),
    )


def lifetime_field(days: str) -> forms.ChoiceField:
    """Make a field for how long a token works; so many days unless another is chosen."""
    return forms.ChoiceField(label="Expires after", choices=LIFETIMES, initial=days, required=False)


class NewTokenForm(forms.Form):
    """A form with a name and a lifetime."""

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
