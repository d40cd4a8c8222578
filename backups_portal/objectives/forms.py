"""The form of a project's recovery objectives; what they may be, the service decides."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from backups_portal.objectives.objective_settings import LABELS, LOSS, MOST, RESTORE

LOADED = "loaded-"
LONGEST_TEXT = 64


def _number(name: str, help_text: str) -> forms.CharField:
    return forms.CharField(
        label=LABELS[name],
        help_text=help_text,
        max_length=LONGEST_TEXT,
        required=False,
        widget=forms.NumberInput(attrs={"min": 1, "max": MOST[name], "step": 1}),
    )


class ObjectivesForm(forms.Form):
    """The objectives: hours of data, minutes of a restore; either may be empty."""

    max_loss_hours = _number(
        LOSS,
        "Recovery point: how old the newest good backup may get. Leave empty for no objective.",
    )
    max_restore_minutes = _number(
        RESTORE,
        "Recovery time: how long restoring a backup may take. Leave empty for no objective.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._newer: dict[str, Any] = {}

    @property
    def loaded(self) -> dict[str, Any]:
        """The objectives as this form showed them first, as far as its sender tells."""
        if not self.is_bound:
            return {name: "" if value is None else value for name, value in self.initial.items()}
        sent = {name: self.data.get(LOADED + name) for name in self.fields}
        return {name: value for name, value in sent.items() if value is not None} | self._newer

    def hidden_loaded(self) -> SafeString:
        """Render hidden fields that browsers do not fill in from an older page."""
        line = '<input type="hidden" name="{}" value="{}" autocomplete="off">'
        return format_html_join("", line, ((LOADED + k, v) for k, v in self.loaded.items()))

    def count_from(self, values: Mapping[str, int | None], names: Iterable[str]) -> None:
        """Take what is typed of some objectives as meant in place of what they are by now."""
        self._newer = {name: "" if values[name] is None else values[name] for name in names}

    def refuse(self, errors: dict[str, str]) -> None:
        """Show at each field why its value cannot be."""
        for name, message in errors.items():
            self.add_error(name, message)
