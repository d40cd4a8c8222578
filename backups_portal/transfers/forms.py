"""The form on which an owner chooses what to move."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any
from uuid import UUID

from django import forms

from backups_portal.projects.models import Project
from backups_portal.transfers.choosing import KINDS, Choice, ChoiceError, Rule, Unmatched
from backups_portal.transfers.resources import BY_KIND
from backups_portal.ui.widgets import LongSelect
from restores.forms import DAMAGED

RULES = [
    (Rule.SKIP.value, "Skip it (what is there stays)"),
    (Rule.ADD.value, "Add it anyway (there will be two)"),
    (Rule.REPLACE.value, "Replace it (mutable devices only)"),
]
UNMATCHED = [
    (Unmatched.CREATE.value, "Create it, with its parameters and tags"),
    (Unmatched.SKIP.value, "Skip it"),
]


class ProjectField(forms.ModelChoiceField):
    """One of the owner's projects, by its name."""

    widget = LongSelect

    def label_from_instance(self, obj: Project) -> str:
        return obj.name


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
    devices = forms.CharField(
        required=False,
        label="Devices",
        help_text="Ids, separated by commas or spaces. Leave empty for all.",
    )
    variables = forms.CharField(
        required=False,
        label="Variables",
        help_text="Names, separated by commas. Leave empty for all.",
    )
    since = forms.DateTimeField(
        required=False, label="From time (UTC)", help_text="Such as 2026-03-01 or 2026-03-01 12:00."
    )
    until = forms.DateTimeField(required=False, label="Before time (UTC)")
    rule = forms.ChoiceField(
        choices=RULES,
        initial=Rule.SKIP.value,
        label="Where the same record is there with another value",
        error_messages={"required": "Choose what becomes of it."},
    )
    unmatched = forms.ChoiceField(
        choices=UNMATCHED,
        initial=Unmatched.CREATE.value,
        label="A device that the target does not have",
        error_messages={"required": "Choose what becomes of it."},
    )
    tag = forms.CharField(
        required=False,
        max_length=100,
        label="Match devices by this tag, too",
        help_text="Devices are matched by id, else by serial number or this tag, else by name.",
    )
    without_devices = forms.BooleanField(required=False, label="No devices, only these resources")
    kinds = forms.MultipleChoiceField(
        required=False,
        choices=[(kind, BY_KIND[kind].label.capitalize()) for kind in KINDS],
        widget=forms.CheckboxSelectMultiple,
        label="Also these resources",
    )
    request_key = forms.UUIDField(
        widget=forms.HiddenInput,
        error_messages=dict.fromkeys(("required", "invalid"), DAMAGED),
    )

    def __init__(self, *args: Any, names: Sequence[tuple[UUID, str]], **kwargs: Any) -> None:
        """A form for some projects, whose ids and names are enough to show it."""
        super().__init__(*args, **kwargs)
        for name in ("source", "target"):
            chooser = self.fields[name]
            if isinstance(chooser, ProjectField):
                if self.is_bound:
                    chooser.queryset = Project.objects.filter(pk__in=[pk for pk, _ in names])
                empty = [] if chooser.empty_label is None else [("", chooser.empty_label)]
                chooser.widget.choices = [*empty, *names]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if self.errors:
            return values
        try:
            values["choice"] = self._choice(values)
        except ChoiceError as error:
            raise forms.ValidationError(str(error)) from error
        return values

    def _choice(self, values: dict[str, Any]) -> Choice:
        devices = tuple(values["devices"].replace(",", " ").split()) or None
        names = tuple(name.strip() for name in values["variables"].split(",") if name.strip())
        return Choice(
            devices=() if values["without_devices"] else devices,
            variables=names or None,
            since=values["since"] and values["since"].astimezone(UTC),
            until=values["until"] and values["until"].astimezone(UTC),
            kinds=tuple(values["kinds"]),
            rule=Rule(values["rule"]),
            unmatched=Unmatched(values["unmatched"]),
            tag=values["tag"].strip(),
        )
