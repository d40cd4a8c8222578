"""The errors of forms whose fields were left empty."""

from collections.abc import Iterator

import pytest
from django import forms

from backups_portal.access_tokens import forms as access_tokens
from backups_portal.accounts import forms as accounts
from backups_portal.notifications import forms as notifications
from backups_portal.projects import forms as projects
from restores import forms as restores
from snapshots import forms as snapshots

MODULES = (access_tokens, accounts, notifications, projects, restores, snapshots)
UNHELPFUL = str(forms.Field.default_error_messages["required"])


def required_fields() -> Iterator[tuple[str, forms.Field]]:
    """Yield the fields that users type into; a choice always has a value."""
    for module in MODULES:
        for form in vars(module).values():
            is_ours = isinstance(form, type) and form.__module__ == module.__name__
            # Its only field comes from the address.
            if is_ours and issubclass(form, forms.Form) and form is not accounts.ResetLinkForm:
                for name, field in form.base_fields.items():
                    if field.required and type(field) is not forms.ChoiceField:
                        yield f"{form.__name__}.{name}", field


@pytest.mark.parametrize(
    "field", [pytest.param(field, id=name) for name, field in required_fields()]
)
def test_an_empty_field_is_told_what_to_do(field: forms.Field) -> None:
    with pytest.raises(forms.ValidationError) as refused:
        field.clean("" if not isinstance(field, forms.MultipleChoiceField) else [])
    assert UNHELPFUL not in refused.value.messages
