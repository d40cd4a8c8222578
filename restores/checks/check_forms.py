"""A form for each kind of check, which reads as a sentence."""

from collections.abc import Mapping
from typing import Any

from django import forms

from restores.checks.check_settings import MAX_HOURS, MAX_VARIABLE, WantedCheck
from restores.checks.shown_check import ShownCheck
from restores.models import Check

# The id of the list of suggestions for device inputs.
DEVICES = "check-devices"
MAX_NAME_LENGTH = 400
# The hidden field that holds the check as its page showed it.
LOADED = "loaded"


def _device(label: str, *, is_required: bool, placeholder: str = "") -> forms.CharField:
    attributes = {"list": DEVICES, "autocomplete": "off", "placeholder": placeholder}
    required = {"required": True} if is_required else {}
    return forms.CharField(
        label=label,
        required=False,
        max_length=MAX_NAME_LENGTH,
        widget=forms.TextInput(attrs={**attributes, **required}),
    )


def _number(*, is_required: bool = True, **attributes: object) -> forms.NumberInput:
    required = {"required": True} if is_required else {}
    return forms.NumberInput(attrs={**attributes, **required})


class CheckForm(forms.Form):
    """The fields of a kind of check."""

    kind = ""

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        check: Check | None = None,
        **kwargs: Any,
    ) -> None:
        self.loaded: ShownCheck | None = None
        if check:
            kwargs["initial"] = self.values_of(check)
            self.loaded = (
                ShownCheck.of(check) if data is None else ShownCheck.parse(data.get(LOADED, ""))
            )
        # Several of these forms share a page, with fields of the same names.
        super().__init__(data, **{**kwargs, "auto_id": f"id_{self.kind}_%s"})

    @staticmethod
    def values_of(check: Check) -> dict[str, Any]:
        """Return the initial values of a check's form."""
        same = ("variable", "hours", "at_least", "low", "high")
        device = check.device_name or check.device_id
        return {"device": device, **{name: getattr(check, name) for name in same}}

    def wanted(self) -> WantedCheck:
        """Return the check that a valid form asks for."""
        asked, shown = self.cleaned_data, self.loaded
        if shown and asked.get("device") == shown.device_name.strip():
            # The device may have been renamed since.
            asked = {**asked, "device": shown.device_id}
        return WantedCheck(self.kind, **asked)

    def count_from(self, check: Check, why: str) -> None:
        """Add a conflict error, and rebase the form on the check as it is now."""
        self.loaded = ShownCheck.of(check)
        self.add_error(None, why)


class NewestForm(CheckForm):
    """[Truck 07] has a record younger than [26] hours."""

    kind = Check.Kind.NEWEST
    device = _device("Device", is_required=True, placeholder="Device")
    hours = forms.IntegerField(label="Hours", required=False, widget=_number(min=1, max=MAX_HOURS))


class DevicesForm(CheckForm):
    """At least [30] devices."""

    kind = Check.Kind.DEVICES
    at_least = forms.IntegerField(label="Number of devices", required=False, widget=_number(min=1))


class BetweenForm(CheckForm):
    """[temperature] of [every device] is between [-40] and [60] in the last [24] hours."""

    kind = Check.Kind.BETWEEN
    variable = forms.CharField(
        label="Variable",
        required=False,
        max_length=MAX_VARIABLE,
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "placeholder": "Variable", "required": True}
        ),
    )
    device = _device(
        "Device; empty for every device", is_required=False, placeholder="every device"
    )
    low = forms.FloatField(label="Lowest", required=False, widget=_number(step="any"))
    high = forms.FloatField(label="Highest", required=False, widget=_number(step="any"))
    hours = forms.IntegerField(
        label="Hours; empty for all records",
        required=False,
        widget=_number(
            is_required=False,
            min=1,
            max=MAX_HOURS,
            placeholder="all",
        ),
    )


FORMS: dict[str, type[CheckForm]] = {
    form.kind: form for form in (NewestForm, DevicesForm, BetweenForm)
}


def blank_forms(filled: CheckForm | None = None) -> list[CheckForm]:
    """Return a form for each kind, the filled one in its place."""
    kept = {filled.kind: filled} if filled else {}
    return [kept.get(kind) or form() for kind, form in FORMS.items()]
