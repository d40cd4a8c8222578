"""What owners choose of notifications."""

from typing import Any

from django import forms

from backups_portal.lib.outgoing import OutgoingError, host_of
from backups_portal.notifications.models import CHOSEN, NotificationSettings
from backups_portal.notifications.sealing import heartbeat_url, webhook_url

LONGEST_URL = 2_000


class UrlField(forms.CharField):
    """A web address, or nothing."""

    def __init__(self, **options: Any) -> None:
        attributes = {
            "type": "url",
            "autocomplete": "off",
            "autocapitalize": "off",
            "spellcheck": "false",
            "placeholder": "https://",
        }
        super().__init__(
            required=False,
            max_length=LONGEST_URL,
            widget=forms.TextInput(attrs=attributes),
            **options,
        )

    def validate(self, value: str) -> None:
        super().validate(value)
        try:
            if value:
                host_of(value)
        except OutgoingError as error:
            raise forms.ValidationError(str(error)) from error


class NotificationsForm(forms.Form):
    """What is told, and where to."""

    by_email = forms.BooleanField(label="E-mail to every owner", required=False)
    wanted = forms.MultipleChoiceField(
        label="What is told",
        choices=[(kind.value, kind.label) for kind in CHOSEN],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    reminder_days = forms.IntegerField(
        label="Remind of a restored project that still runs",
        help_text="After so many days, and again after as many.",
        min_value=1,
        max_value=365,
        error_messages={"required": "Enter a number of days, from 1 to 365."},
    )
    webhook = UrlField(
        label="Webhook",
        help_text="Every message is posted there as JSON, signed with a secret that you get once.",
    )
    heartbeat = UrlField(
        label="Heartbeat",
        help_text="Asked for after each stored backup, and only then: a monitor that waits for it "
        "tells you when none comes, also when this portal cannot.",
    )

    @staticmethod
    def values_of(row: NotificationSettings) -> dict[str, Any]:
        """What the form shows of the settings as they are."""
        return {
            "by_email": row.by_email,
            "wanted": [kind.value for kind in CHOSEN if kind not in row.muted],
            "reminder_days": row.reminder_days,
            "webhook": webhook_url(row),
            "heartbeat": heartbeat_url(row),
        }
