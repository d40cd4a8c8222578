"""Forms of this app; what their values may be, the services decide."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from django import forms
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from backups_portal.lib.timezones import zone_names
from backups_portal.projects.models import MainDatabase
from snapshots.schedule.backup_settings import LONGEST_DAYS, SHORTEST_DAYS

ZONE_LIST = "time-zones"
# Longer than any zone's name; a longer text is no use in a message either.
LONGEST_TEXT = 64
# What the names of hidden fields begin with that tell what a form showed.
LOADED = "loaded-"


class BackupSettingsForm(forms.Form):
    """A main database's settings: a daily time in a zone, a number of days, what is proven."""

    backup_time = forms.CharField(
        label="Daily backup schedule",
        help_text="When the daily backup is taken.",
        max_length=LONGEST_TEXT,
        required=False,
        widget=forms.TimeInput(attrs={"type": "time", "required": True}),
    )
    backup_time_zone = forms.CharField(
        label="Time zone",
        help_text="Clear the field and type a city or region to search.",
        max_length=LONGEST_TEXT,
        required=False,
        widget=forms.TextInput(
            attrs={
                "list": ZONE_LIST,
                "required": True,
                "autocomplete": "off",
                "autocapitalize": "off",
                "spellcheck": "false",
            }
        ),
    )
    retention_days = forms.CharField(
        label="Backup retention period",
        help_text=(
            f"From {SHORTEST_DAYS} to {LONGEST_DAYS} days. "
            "The newest backup and backups on hold are kept longer."
        ),
        max_length=LONGEST_TEXT,
        required=False,
        widget=forms.NumberInput(
            attrs={"min": SHORTEST_DAYS, "max": LONGEST_DAYS, "step": 1, "required": True}
        ),
    )

    proof_policy = forms.ChoiceField(
        label="Proof of backups",
        help_text="A proof restores a backup into a scratch database and compares every row.",
        choices=MainDatabase.ProofPolicy.choices,
        required=False,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._newer: dict[str, Any] = {}

    @property
    def loaded(self) -> dict[str, Any]:
        """The settings as this form showed them first, as far as its sender tells."""
        if not self.is_bound:
            return dict(self.initial)
        sent = {name: self.data.get(LOADED + name) for name in self.fields}
        return {name: value for name, value in sent.items() if value is not None} | self._newer

    def hidden_loaded(self) -> SafeString:
        """Render hidden fields that browsers do not fill in from an older page."""
        line = '<input type="hidden" name="{}" value="{}" autocomplete="off">'
        return format_html_join("", line, ((LOADED + k, v) for k, v in self.loaded.items()))

    def count_from(self, database: MainDatabase, names: Iterable[str]) -> None:
        """Take what is typed of some settings as meant in place of what they are by now."""
        now = self.values_of(database)
        self._newer = {name: now[name] for name in names}

    @staticmethod
    def values_of(database: MainDatabase) -> dict[str, Any]:
        """Return what the form shows of the current settings."""
        return {
            "backup_time": f"{database.backup_time:%H:%M}",
            "backup_time_zone": database.backup_time_zone,
            "retention_days": database.retention_days,
            "proof_policy": database.proof_policy,
        }

    def clean_proof_policy(self) -> str | None:
        """None leaves the policy as it is, for a form that does not name it."""
        return self.cleaned_data["proof_policy"] or None

    def refuse(self, errors: dict[str, str]) -> None:
        """Show at each field why its value cannot be."""
        for name, message in errors.items():
            self.add_error(name, message)

    def zone_options(self) -> SafeString:
        """List the zones to choose from: places and UTC; others are accepted."""
        return _zone_options()


@cache
def _zone_options() -> SafeString:
    """Put together once: there are hundreds."""
    places = sorted(name for name in zone_names() if _is_place(name))
    return format_html_join("", '<option value="{}">', ((name,) for name in ["UTC", *places]))


def _is_place(name: str) -> bool:
    return "/" in name and name.split("/")[0] not in {"Etc", "SystemV", "US", "Canada", "Mexico"}


class FindForm(forms.Form):
    """What somebody has lost: rows of a device, on a day or at any time."""

    device = forms.CharField(
        label="Device",
        help_text="Its name or id, or part of it. Deleted devices are found, too.",
        max_length=200,
        error_messages={"required": "Enter part of the name or id."},
    )
    day = forms.DateField(
        label="Day (UTC)",
        help_text="Leave empty to count the rows of all days.",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
