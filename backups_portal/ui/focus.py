"""Where the eyes and the keyboard go on a page whose form came back with errors."""

from django.forms import BaseForm, BoundField

# In place of a field: what is said of the form as a whole.
WHOLE_FORM = "form"


def fields_with_errors(form: BaseForm) -> list[BoundField]:
    """The fields that somebody sees and that are wrong, in the order of the form."""
    return [bound for bound in form.visible_fields() if bound.errors] if form.errors else []


def errors_of_the_whole(form: BaseForm) -> list[str]:
    """What is said of the form as a whole, and of fields that nobody sees."""
    if not form.errors:
        return []
    hidden = [error for bound in form.hidden_fields() for error in bound.errors]
    return [*form.non_field_errors(), *hidden]


def first_focus(form: BaseForm) -> str | None:
    """The name of the first wrong field; "form" where only its own message tells what is wrong.

    None leaves the focus to the fields, as while nothing is wrong: a page may have it only once.
    """
    if not form.errors:
        return None
    if wrong := fields_with_errors(form):
        return wrong[0].name
    return None if any(map(_asks_for_focus, form.visible_fields())) else WHOLE_FORM


def _asks_for_focus(bound: BoundField) -> bool:
    return bool(bound.field.widget.attrs.get("autofocus"))
