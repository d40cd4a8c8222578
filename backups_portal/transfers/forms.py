"""The form on which an owner chooses what to move."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django import forms

from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.timezones import is_zone, zone_of
from backups_portal.projects.models import Project
from backups_portal.transfers.move.resource_rows import BY_KIND
from backups_portal.transfers.pages.move_suggestion import DEVICE_ID, ProjectChoice
from backups_portal.transfers.plan.selection import (
    KINDS,
    Choice,
    ChoiceError,
    DeviceSettings,
    Rule,
    Unmatched,
)
from backups_portal.ui.form_widgets import LongSelect
from backups_portal.ui.visible_names import seen_name
from restores.forms import DAMAGED

RULES = [
    (Rule.SKIP.value, "Keep the existing one"),
    (Rule.ADD.value, "Keep both (records only)"),
    (Rule.REPLACE.value, "Replace it (not records of immutable devices)"),
]
UNMATCHED = [
    (Unmatched.CREATE.value, "Create it, with its parameters and tags"),
    (Unmatched.SKIP.value, "Skip it"),
]
SETTINGS = [
    (DeviceSettings.KEEP.value, "Leave them as they are"),
    (DeviceSettings.BRING_BACK.value, "Bring them back, beside the records"),
    (DeviceSettings.ONLY.value, "Bring back only these, and no records"),
]
# What is folded away, and what it is as long as nobody has chosen anything else.
OPTIONS = {
    "variables": "",
    "rule": Rule.SKIP.value,
    "unmatched": Unmatched.CREATE.value,
    "tag": "",
}
RESOURCES = {"kinds": None, "without_devices": None}


class ProjectField(forms.ModelChoiceField):
    """A choice among the owner's projects, by name."""

    widget = LongSelect

    def label_from_instance(self, obj: Project) -> str:
        return seen_name(obj.name)

    def close(self, reasons: Mapping[object, str]) -> None:
        """Disable projects, by id, and show the reason for each."""
        if isinstance(self.widget, LongSelect):
            added = {str(pk): why for pk, why in reasons.items()}
            self.widget.closed = {**self.widget.closed, **added}


class DeviceIdsField(forms.MultipleChoiceField):
    """Devices of the source; only the form of their ids is checked here."""

    def valid_value(self, value: Any) -> bool:
        return DEVICE_ID.fullmatch(str(value)) is not None


class LocalTimeField(forms.Field):
    """A date and time in the form's time zone, unless it has an offset."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"})
    default_error_messages = forms.DateTimeField.default_error_messages

    def to_python(self, value: Any) -> datetime | None:
        try:
            return datetime.fromisoformat(str(value).strip()) if value else None
        except ValueError as error:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from error


class TransferForm(forms.Form):
    """What to move, from where, and where to."""

    source = ProjectField(
        Project.objects.none(),
        label="From",
        empty_label=None,
        error_messages={"required": "Choose the project that the data comes from."},
    )
    target = ProjectField(
        Project.objects.none(),
        label="Into",
        empty_label="Choose a project",
        error_messages={"required": "Choose the project that the data goes into."},
    )
    devices = DeviceIdsField(required=False, label="Devices")
    device_settings = forms.ChoiceField(
        choices=SETTINGS,
        initial=DeviceSettings.KEEP.value,
        required=False,
        label="Tags and parameters of devices that exist there",
        help_text=(
            "If you bring them back, the source's values replace the target's."
            " What only the target has stays."
        ),
    )
    since = LocalTimeField(required=False, label="Start")
    until = LocalTimeField(required=False, label="End")
    variables = forms.CharField(
        required=False,
        label="Variables",
        help_text="Names, separated by commas. Leave empty to move all variables.",
    )
    rule = forms.ChoiceField(
        choices=RULES,
        initial=Rule.SKIP.value,
        label="If a record or another resource exists but differs",
        error_messages={"required": "Choose what to do with it."},
    )
    unmatched = forms.ChoiceField(
        choices=UNMATCHED,
        initial=Unmatched.CREATE.value,
        label="If a device does not exist there",
        error_messages={"required": "Choose what to do with it."},
    )
    tag = forms.CharField(
        required=False,
        max_length=100,
        label="Match devices by tag",
        help_text="Devices are matched by ID, then by serial number or this tag, then by name.",
    )
    kinds = forms.MultipleChoiceField(
        required=False,
        choices=[(kind, BY_KIND[kind].label.capitalize()) for kind in KINDS],
        widget=forms.CheckboxSelectMultiple,
        label="Also move",
    )
    without_devices = forms.BooleanField(required=False, label="Move these only, and no devices")
    # The time zone in which the period was shown and is read.
    zone = forms.CharField(required=False, widget=forms.HiddenInput)
    request_key = forms.UUIDField(
        widget=forms.HiddenInput,
        error_messages=dict.fromkeys(("required", "invalid"), DAMAGED),
    )

    def __init__(
        self, *args: Any, projects: Sequence[ProjectChoice], zone: str = "UTC", **kwargs: Any
    ) -> None:
        """Offer these projects, without querying them only to show the form."""
        super().__init__(*args, **kwargs)
        given = str(self["zone"].value() or "")
        self.clock_zone = given if is_zone(given) else zone
        self.projects = projects
        for name in ("source", "target"):
            chooser = self.fields[name]
            if isinstance(chooser, ProjectField):
                if self.is_bound:
                    chooser.queryset = Project.objects.filter(pk__in=[one.pk for one in projects])
                empty = [] if chooser.empty_label is None else [("", chooser.empty_label)]
                names = [(one.pk, seen_name(one.name)) for one in projects]
                chooser.widget.choices = [*empty, *names]
                chooser.close({one.pk: "shut down" for one in projects if not one.is_running})

    def close_source(self) -> None:
        """Disable the source among the targets."""
        chooser = self.fields["target"]
        if isinstance(chooser, ProjectField):
            chooser.close({self["source"].value(): "the source"})

    @property
    def has_targets(self) -> bool:
        """Tell whether there are two running projects to move data between."""
        return sum(one.is_running for one in self.projects) > 1

    @property
    def zone_name(self) -> str:
        """Return the time zone's name for display."""
        return self.clock_zone.replace("_", " ")

    @property
    def has_options(self) -> bool:
        """Tell whether an option is invalid or not at its default."""
        return self._differs(OPTIONS)

    @property
    def has_resources(self) -> bool:
        """Tell whether resources besides devices are chosen, or invalid."""
        return self._differs(RESOURCES)

    def _differs(self, folded: Mapping[str, str | None]) -> bool:
        return any(
            (self.is_bound and self[name].errors) or (self[name].value() or usual) != usual
            for name, usual in folded.items()
        )

    def clean(self) -> JsonObject:
        values = super().clean() or {}
        if self.errors:
            return values
        try:
            values["choice"] = self._choice(values)
        except ChoiceError as error:
            self.add_error(error.field, str(error))
        return values

    def _choice(self, values: JsonObject) -> Choice:
        devices = tuple(values["devices"]) or None
        names = tuple(name.strip() for name in values["variables"].split(",") if name.strip())
        return Choice(
            devices=() if values["without_devices"] else devices,
            variables=names or None,
            since=values["since"],
            until=values["until"],
            kinds=tuple(values["kinds"]),
            rule=Rule(values["rule"]),
            unmatched=Unmatched(values["unmatched"]),
            tag=values["tag"].strip(),
            device_settings=DeviceSettings(values["device_settings"] or DeviceSettings.KEEP),
        )

    def clean_since(self) -> datetime | None:
        # If clocks show an hour twice, the period includes both.
        return self._in_utc(self.cleaned_data["since"], fold=0)

    def clean_until(self) -> datetime | None:
        return self._in_utc(self.cleaned_data["until"], fold=1)

    def _in_utc(self, moment: datetime | None, *, fold: int) -> datetime | None:
        if moment is None:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone_of(self.clock_zone), fold=fold)
        try:
            meant = moment.astimezone(UTC)
            is_skipped = meant.astimezone(moment.tzinfo).replace(tzinfo=None) != moment.replace(
                tzinfo=None
            )
        except OverflowError as error:
            raise forms.ValidationError("Enter a time between the years 1 and 9999.") from error
        if is_skipped:
            raise forms.ValidationError(
                f"{moment:%H:%M} does not exist on that day: clocks were put forward. Enter "
                "another time."
            )
        return meant
