"""A form that submits its initial values, to detect concurrent changes."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

LOADED = "loaded-"


class LoadedForm(forms.Form):
    """A form for settings that others may change while it is open."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._newer: dict[str, Any] = {}

    @property
    def loaded(self) -> dict[str, Any]:
        """Return the settings that the form first showed, as far as submitted."""
        if not self.is_bound:
            return _as_sent(self.initial, self.initial)
        sent = {name: self.data.get(LOADED + name) for name in self.fields}
        return {name: value for name, value in sent.items() if value is not None} | self._newer

    def hidden_loaded(self) -> SafeString:
        """Render hidden fields that browsers do not restore from an older page."""
        line = '<input type="hidden" name="{}" value="{}" autocomplete="off">'
        return format_html_join("", line, ((LOADED + k, v) for k, v in self.loaded.items()))

    def count_from(self, values: Mapping[str, Any], names: Iterable[str]) -> None:
        """Let the entered values replace these newer ones on the next submission."""
        self._newer = _as_sent(values, names)


def _as_sent(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: "" if values[name] is None else values[name] for name in names}
