"""Errors of every field are written for users, not for programmers."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from allauth.core.context import request_context
from django import forms
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import RequestFactory

from backups_portal.accounts import forms as accounts
from backups_portal.accounts.models import Account
from backups_portal.lib.limits import Limit
from backups_portal.ui.form_widgets import OnceInput

MODULES = (
    *("backups_portal.accounts.forms", "backups_portal.projects.forms", "restores.forms"),
    *("backups_portal.notifications.forms", "backups_portal.transfers.forms", "snapshots.forms"),
    *("backups_portal.replaced_ids.id_views", "backups_portal.evidence.forms"),
    *("backups_portal.objectives.forms", "backups_portal.access_tokens.forms"),
    *("backups_portal.ui.loaded_form", "backups_portal.ui.token_form"),
    "backups_portal.transfers.views.data_pages",
    "restores.checks.check_forms",
)
ARGUMENTS: dict[str, dict[str, Any]] = {
    **{
        name: {"user": Account(pk=1, email="ana@example.com")}
        for name in (
            *("NewPasswordForm", "ChangePasswordForm", "FirstPasswordForm", "PasswordForm"),
            *("CodeForm", "CodeAgainForm", "TurnOnForm", "NewPasskeyForm", "NewEmailForm"),
            *("PasskeyForm", "PasskeyAgainForm"),
        )
    },
    "TransferForm": {"projects": []},
}
# No user fills it in: the page's address does.
FILLED_BY_AN_ADDRESS = accounts.ResetLinkForm
BAD: tuple[Any, ...] = (
    *("", " ", "tomorrow", "-1", "0", "1e9", "99999999999", "x" * 70_000, "a\0b", "[]", "\u200b"),
    *("2026-13-01", "03:00", "32.13.2026", "ana@", "https://", "ftp://x", "00000000-0000"),
)
LIBRARY = re.compile(
    "^(Enter a valid|This field|Ensure (this|that)|Select a valid|No file|Null characters|"
    "The submitted|Not a valid|Enter a list|“.*” (is not a valid|value))"
)


def all_forms() -> list[type[forms.BaseForm]]:
    found = {
        one
        for module in map(import_module, MODULES)
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, forms.BaseForm)
        if one.__module__ == module.__name__
    }
    return sorted(found - {FILLED_BY_AN_ADDRESS}, key=lambda one: one.__name__)


def make(kind: type[forms.BaseForm], data: dict[str, Any], files: dict[str, Any]) -> Any:
    arguments = ARGUMENTS.get(kind.__name__, {})
    return kind(data=data, files=files, **arguments)


@pytest.fixture(autouse=True)
def _request(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The request that allauth's forms belong to; earlier tries do not count."""
    request = RequestFactory().post("/")
    request.session, request.user = SessionStore(), AnonymousUser()
    monkeypatch.setattr(Limit, "take", lambda self, who: 0)
    monkeypatch.setattr("allauth.core.ratelimit.consume", lambda *_, **__: True)
    monkeypatch.setattr("django.contrib.auth.base_user.check_password", lambda *_, **__: False)
    with request_context(request):
        yield


def test_all_forms_are_looked_at() -> None:
    known = {form for form in _below(forms.BaseForm) if _is_ours(form)}
    assert known <= {FILLED_BY_AN_ADDRESS, *all_forms()}
    assert len(all_forms()) >= 20


def _below(kind: type[Any]) -> set[type[Any]]:
    return {one for child in kind.__subclasses__() for one in {child, *_below(child)}}


def _is_ours(form: type[Any]) -> bool:
    return form.__module__.partition(".")[0] in {"backups_portal", "snapshots", "restores"}


@pytest.mark.django_db
@pytest.mark.parametrize("kind", all_forms(), ids=lambda kind: kind.__name__)
def test_every_error_is_a_sentence_for_people(kind: type[forms.BaseForm]) -> None:
    for name in kind.base_fields:
        for value in BAD:
            uploaded = SimpleUploadedFile("x" * 300, str(value).encode())
            is_many = isinstance(kind.base_fields[name], forms.MultipleChoiceField)
            form = make(kind, {name: [value] if is_many else value}, {name: uploaded})
            for field, errors in form.errors.items():
                for error in errors:
                    assert not LIBRARY.search(error), (kind.__name__, field, str(value)[:20], error)
                    assert re.fullmatch(r"[A-Z“0-9][^\0]*[.?]", error), (field, value, error)
                    assert len(error) < 400, (field, error[:100])


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        (forms.DateTimeField(), "tomorrow", "Enter a day, or a day and a time, such as 2026-03-01"),
        (forms.DateField(), "tomorrow", "Enter a day as year, month and day"),
        (forms.IntegerField(), "soon", "Enter a whole number"),
        (forms.IntegerField(min_value=1), "0", "Enter 1 or more."),
        (forms.CharField(max_length=3), "abcd", "Enter at most 3 characters; this has 4."),
        (forms.EmailField(), "ana@", "Enter an e-mail address"),
        (forms.ChoiceField(choices=[("a", "A")]), "b", "That is not one of the choices."),
        (forms.FileField(), None, "Choose a file."),
        (forms.CharField(), "", "Fill this in."),
        (forms.BooleanField(), "", "Tick this box"),
    ],
)
def test_what_is_said_tells_what_to_enter(field: forms.Field, value: str, says: str) -> None:
    with pytest.raises(forms.ValidationError) as refused:
        field.clean(value)
    assert refused.value.messages[0].startswith(says)


@pytest.mark.django_db
def test_a_refused_code_is_not_shown_again() -> None:
    for kind in all_forms():
        for name, field in kind.base_fields.items():
            if field.widget.attrs.get("autocomplete") == "one-time-code":
                assert isinstance(field.widget, OnceInput), (kind, name)
                assert "123456" not in str(make(kind, {name: "123456"}, {})[name])
