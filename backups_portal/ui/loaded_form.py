"""A form that sends what it was loaded with, so that a change made meanwhile is noticed."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

LOADED = "loaded-"


class LoadedForm(forms.Form):
    """Settings that others may change while somebody has the form open."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._newer: dict[str, Any] = {}

    @property
    def loaded(self) -> dict[str, Any]:
        """The settings as the form first showed them, as far as they were sent along."""
        if not self.is_bound:
            return _as_sent(self.initial, self.initial)
        sent = {name: self.data.get(LOADED + name) for name in self.fields}
        return {name: value for name, value in sent.items() if value is not None} | self._newer

    def hidden_loaded(self) -> SafeString:
        """Render hidden fields that browsers do not fill in from an older page."""
        line = '<input type="hidden" name="{}" value="{}" autocomplete="off">'
        return format_html_join("", line, ((LOADED + k, v) for k, v in self.loaded.items()))

    def count_from(self, values: Mapping[str, Any], names: Iterable[str]) -> None:
        """Let the typed values replace these newer ones when the form is sent again."""
        self._newer = _as_sent(values, names)


def _as_sent(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: "" if values[name] is None else values[name] for name in names}
