"""The errors of a refused form, and the field that gets the focus."""

from django.forms import BaseForm, BoundField

# In place of a field's name: the message about the form as a whole.
WHOLE_FORM = "form"


def fields_with_errors(form: BaseForm) -> list[BoundField]:
    """List the visible fields that are wrong, in the order of the form."""
    return [bound for bound in form.visible_fields() if bound.errors] if form.errors else []


def errors_of_the_whole(form: BaseForm) -> list[str]:
    """List the errors of the form as a whole and of its hidden fields."""
    if not form.errors:
        return []
    hidden = [error for bound in form.hidden_fields() for error in bound.errors]
    return [*form.non_field_errors(), *hidden]


def first_focus(form: BaseForm) -> str | None:
    """Name the first wrong field, which gets the focus.

    Returns:
        "form" if only the form's own message explains the error. None without errors, or if a field
        has `autofocus`: a page may set the focus only once.
    """
    if not form.errors:
        return None
    if wrong := fields_with_errors(form):
        return wrong[0].name
    widgets = (bound.field.widget for bound in form.visible_fields())
    return None if any(one.attrs.get("autofocus") for one in widgets) else WHOLE_FORM
