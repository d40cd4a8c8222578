"""Forms of this app; the services decide which values are valid."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.timezones import zone_names, zone_of
from backups_portal.projects.models import MainDatabase
from backups_portal.ui.form_widgets import LongSelect
from backups_portal.ui.loaded_form import LoadedForm
from backups_portal.ui.visible_names import seen_name
from snapshots.engine.series_search import VALUE_TYPES, Selection, Series, micros
from snapshots.schedule.backup_settings import MAX_DAYS, MIN_DAYS

ZONE_LIST = "time-zones"
# Longer than any zone's name; a message would not repeat a longer text either.
MAX_TEXT_LENGTH = 64
# The formats that browsers send, with seconds only if they are not zero.
MOMENTS = [
    *("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f"),
    *("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"),
]
MOMENT = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")


class BackupSettingsForm(LoadedForm):
    """A main database's daily backup time, zone, retention and proof policy."""

    backup_time = forms.CharField(
        label="Daily backup schedule",
        help_text="When the daily backup is taken.",
        max_length=MAX_TEXT_LENGTH,
        required=False,
        widget=forms.TimeInput(attrs={"type": "time", "required": True}),
    )
    backup_time_zone = forms.CharField(
        label="Time zone",
        help_text="Clear the field and type a city or region to search.",
        max_length=MAX_TEXT_LENGTH,
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
            f"From {MIN_DAYS} to {MAX_DAYS} days. "
            "The newest backup and backups on hold are kept longer."
        ),
        max_length=MAX_TEXT_LENGTH,
        required=False,
        widget=forms.NumberInput(
            attrs={"min": MIN_DAYS, "max": MAX_DAYS, "step": 1, "required": True}
        ),
    )

    proof_policy = forms.ChoiceField(
        label="Proof of backups",
        help_text="A proof restores a backup into a scratch database and compares every row.",
        choices=MainDatabase.ProofPolicy.choices,
        required=False,
    )

    def clean_proof_policy(self) -> str | None:
        """Return None if the form lacks the field: the policy then stays."""
        return self.cleaned_data["proof_policy"] or None

    def zone_options(self) -> SafeString:
        """List the zones to suggest: places and UTC; others are accepted too."""
        return _zone_options()


@cache
def _zone_options() -> SafeString:
    """Build the list once, because it has hundreds of entries."""
    places = sorted(name for name in zone_names() if _is_place(name))
    return format_html_join("", '<option value="{}">', ((name,) for name in ["UTC", *places]))


def _is_place(name: str) -> bool:
    return "/" in name and name.split("/")[0] not in {"Etc", "SystemV", "US", "Canada", "Mexico"}


class FindForm(forms.Form):
    """A description of lost data: rows of a device, on a day or at any time."""

    device = forms.CharField(
        label="Device",
        help_text="Its name or ID, or part of it. Deleted devices are found, too.",
        max_length=200,
        error_messages={"required": "Enter part of the name or ID."},
    )
    day = forms.DateField(
        label="Day (UTC)",
        help_text="Leave empty to count the rows of all days.",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )


class SearchForm(FindForm):
    """A search through all backups: rows of a device, a variable, some days."""

    last_day = forms.DateField(
        label="Until the end of (UTC)",
        help_text="Leave empty for the one day.",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    variable = forms.CharField(
        label="Variable",
        help_text="Its whole name; leave empty for all.",
        required=False,
        max_length=200,
    )

    def clean(self) -> JsonObject:
        """Refuse a period without a first day, and one that ends before it begins."""
        values: JsonObject = super().clean() or {}
        day, last = values.get("day"), values.get("last_day")
        if last and "day" in values and day is None:
            self.add_error("day", "Enter the first day, too.")
        elif last and day and last < day:
            self.add_error("last_day", "Choose a day that is not before the first one.")
        return values


class PeriodForm(forms.Form):
    """A variable of a device and a period, in the viewer's time zone.

    Args:
        series: The series whose variables are offered.
        zone: IANA name of the time zone of the entered times.
    """

    variable = forms.ChoiceField(label="Variable", required=False, widget=LongSelect)
    since = forms.DateTimeField(label="From", required=False, widget=MOMENT, input_formats=MOMENTS)
    until = forms.DateTimeField(
        label="Before", required=False, widget=MOMENT, input_formats=MOMENTS
    )
    # Choices offered in addition to the variables.
    every: tuple[tuple[str, str], ...] = (("", "All"),)

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        series: Iterable[Series] = (),
        zone: str = "UTC",
        **kwargs: Any,
    ) -> None:
        super().__init__(data, **kwargs)
        self.series, self._zone = tuple(series), zone
        names = dict.fromkeys(one.variable for one in self.series)
        field = self.fields["variable"]
        if isinstance(field, forms.ChoiceField):
            field.choices = [*self.every, *((name, seen_name(name)) for name in names)]

    def full_clean(self) -> None:
        """Validate the fields in the viewer's time zone."""
        with timezone.override(zone_of(self._zone)):
            super().full_clean()

    def clean(self) -> JsonObject:
        """Refuse a period that ends before it begins."""
        values: JsonObject = super().clean() or {}
        since, until = values.get("since"), values.get("until")
        if since and until and until <= since:
            self.add_error("until", "Choose a time after the first one.")
        return values


class RecordsForm(PeriodForm):
    """A selection of a device's records."""

    type = forms.ChoiceField(
        label="Type of value", required=False, choices=[("", "Any"), *VALUE_TYPES.items()]
    )
    group = forms.CharField(label="Group", required=False, max_length=200)

    def selection(self) -> Selection:
        """Return the selection of a valid form."""
        asked = self.cleaned_data
        return Selection(
            tuple(
                one
                for one in self.series
                if asked["variable"] in ("", one.variable) and asked["type"] in ("", one.type)
            ),
            since=micros(asked["since"]),
            until=micros(asked["until"]),
            group=asked["group"],
        )


class ChartForm(PeriodForm):
    """The variable and the period of a chart."""

    every = ()
    now = forms.BooleanField(label="Compare with the database now", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("variable", "since", "until"):
            self.fields[name].required = True

    def chosen(self) -> list[Series]:
        """Return the series of the chosen variable of a valid form."""
        name = self.cleaned_data["variable"]
        return [one for one in self.series if one.variable == name]
