"""The form of a project's notifications."""

from typing import Any

from django import forms

from backups_portal.lib.safe_http import OutgoingError, check_address, without_login
from backups_portal.notifications.models import CHOSEN, NotificationSettings

MAX_URL_LENGTH = 2_000


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
            max_length=MAX_URL_LENGTH,
            widget=forms.TextInput(attrs=attributes),
            **options,
        )

    def validate(self, value: str) -> None:
        super().validate(value)
        try:
            if value:
                check_address(value)
        except OutgoingError as error:
            raise forms.ValidationError(str(error)) from error


class NotificationsForm(forms.Form):
    """The wanted messages and their channels."""

    by_email = forms.BooleanField(label="E-mail every owner", required=False)
    weekly_digest = forms.BooleanField(
        label="E-mail every owner a weekly digest",
        help_text=(
            "On Monday morning in the project's time zone: backups, proofs, growth, cost and what "
            "needs attention."
        ),
        required=False,
    )
    wanted = forms.MultipleChoiceField(
        label="Notify about",
        choices=[(kind.value, kind.label) for kind in CHOSEN],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    reminder_days = forms.IntegerField(
        label="Remind about a restored project that is still running",
        help_text="After this many days, and again after as many.",
        min_value=1,
        max_value=365,
        error_messages={"required": "Enter a number of days, from 1 to 365."},
    )
    webhook = UrlField(
        label="Webhook",
        help_text="Gets every message as JSON, signed with a secret that you see once.",
    )
    heartbeat = UrlField(
        label="Heartbeat",
        help_text=(
            "Requested after each stored backup. A monitor that expects it alerts you if a backup "
            "is missing, even if this portal is down."
        ),
    )

    @staticmethod
    def values_of(row: NotificationSettings) -> dict[str, object]:
        """Return the form's values for the current settings."""
        return {
            "by_email": row.by_email,
            "weekly_digest": row.next_digest_at is not None,
            "wanted": [kind.value for kind in CHOSEN if kind not in row.muted],
            "reminder_days": row.reminder_days,
            "webhook": without_login(row.webhook_url),
            "heartbeat": without_login(row.heartbeat_url),
        }
