"""Widgets of forms that Django's own are too slow for."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe


class LongSelect(forms.Select):
    """A choice of hundreds: Django renders two templates for each of them, this none."""

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        """The element, as Django's own would read."""
        chosen = "" if value is None else str(value)
        options = format_html_join(
            "", '<option value="{}"{}>{}</option>', self._options(chosen, self.choices)
        )
        attributes = flatatt(self.build_attrs(self.attrs, {"name": name, **(attrs or {})}))
        return format_html("<select{}>{}</select>", attributes, options)

    def _options(self, chosen: str, choices: Any) -> Iterable[tuple[str, str, str]]:
        for value, label in choices:
            text = "" if value is None else str(value)
            yield text, mark_safe(" selected") if text == chosen else "", label
