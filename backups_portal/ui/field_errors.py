"""Errors of form fields: sentences for people, in place of Django's own.

A field with a better message sets its own `error_messages`.
"""

from django import forms
from django.core import validators
from django.db import models

GONE = "That choice no longer exists. Choose one from the list."
SENTENCES: dict[type[forms.Field], dict[str, str]] = {
    forms.Field: {"required": "Fill this in."},
    forms.CharField: {"required": "Fill this in."},
    forms.BooleanField: {"required": "Tick this box to continue."},
    forms.IntegerField: {"invalid": "Enter a whole number, such as 7."},
    forms.DateField: {"invalid": "Enter a day as year, month and day, such as 2026-03-01."},
    forms.DateTimeField: {
        "invalid": "Enter a day, or a day and a time, such as 2026-03-01 or 2026-03-01 12:00."
    },
    forms.FileField: {
        "invalid": "Choose a file.",
        "missing": "Choose a file.",
        "required": "Choose a file.",
        "empty": "That file is empty. Choose another one.",
        "max_length": "That file's name is longer than %(max)d characters. Rename it.",
    },
    forms.ChoiceField: {
        "required": "Choose one.",
        "invalid_choice": "That is not one of the choices. Choose one from the list.",
    },
    forms.MultipleChoiceField: {
        "required": "Choose at least one.",
        "invalid_choice": "That is not one of the choices. Choose from the list.",
        "invalid_list": "Choose from the list.",
    },
    forms.ModelChoiceField: {"required": "Choose one.", "invalid_choice": GONE},
    forms.UUIDField: {"invalid": "Enter 32 hex digits, as in a page's address."},
}
OF_VALIDATORS: dict[type[validators.BaseValidator], str] = {
    validators.MinValueValidator: "Enter %(limit_value)s or more.",
    validators.MaxValueValidator: "Enter %(limit_value)s or less.",
    validators.MaxLengthValidator: (
        "Enter at most %(limit_value)d characters; this has %(show_value)d."
    ),
    validators.MinLengthValidator: (
        "Enter at least %(limit_value)d characters; this has %(show_value)d."
    ),
}


def speak_plainly() -> None:
    """Make these sentences the defaults of Django's fields and validators."""
    for field, sentences in SENTENCES.items():
        field.default_error_messages = {**field.default_error_messages, **sentences}
    # The error of a model choice for a value that is not an id at all.
    ids = models.UUIDField
    ids.default_error_messages = {**ids.default_error_messages, "invalid": GONE}
    for validator, sentence in OF_VALIDATORS.items():
        validator.message = sentence
    validators.ProhibitNullCharactersValidator.message = "Remove the NUL character."
    validators.EmailValidator.message = "Enter an e-mail address, such as ana@example.com."
