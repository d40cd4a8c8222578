"""Widgets of forms in place of Django's own."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from django import forms
from django.forms.utils import flatatt
from django.utils.html import format_html
from django.utils.safestring import SafeString
from markupsafe import escape

from backups_portal.ui.form_errors import first_focus


def control(bound: forms.BoundField) -> SafeString:
    """Render a field's control in the portal's style, focused if it is first."""
    base = {"checkbox": "form-check-input", "select": "form-select"}
    css = base.get(getattr(bound.field.widget, "input_type", ""), "form-control")
    attributes: dict[str, Any] = {"class": f"{css} is-invalid" if bound.errors else css}
    if first := first_focus(bound.form):
        attributes["autofocus"] = bound.name == first
    return bound.as_widget(attrs=attributes)


class OnceInput(forms.TextInput):
    """An input for a one-time value, which is not shown again if refused."""

    def format_value(self, value: object) -> None:
        """Return nothing, whatever was typed."""


class LongSelect(forms.Select):
    """A choice among hundreds, without the template that Django renders per option.

    Choices are pairs of a value and a label, without groups; `closed` explains, by the value as a
    string, why an option cannot be chosen.
    """

    choices: Any = ()
    closed: Mapping[str, str] = MappingProxyType({})

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        """Render the element as Django's own widget would."""
        chosen = "" if value is None else str(value)
        options = SafeString("".join(self._option(chosen, *choice) for choice in self.choices))
        attributes = flatatt(self.build_attrs(self.attrs, {"name": name, **(attrs or {})}))
        return format_html("<select{}>{}</select>", attributes, options)

    def _option(self, chosen: str, value: object, label: object) -> str:
        text = "" if value is None else str(value)
        flags = " selected" if text == chosen else ""
        if why_not := self.closed.get(text):
            flags, label = f"{flags} disabled", f"{label} ({why_not})"
        # Django's own escaping takes five times as long.
        return f'<option value="{escape(text)}"{flags}>{escape(label)}</option>'
