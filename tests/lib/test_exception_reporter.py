"""The settings on Django's error page."""

import sys

import pytest
from django.conf import settings
from django.test import RequestFactory
from django.views.debug import ExceptionReporter
from pytest_django import Settings

SECRET = "s3cretpart"
ADDRESSES = ("REDIS_URL", "CELERY_BROKER_URL", "PROJECT_DATABASE_URL", "SNAPSHOT_STORAGE")


@pytest.mark.parametrize("name", ADDRESSES)
def test_it_has_no_password_of_an_address(settings: Settings, name: str) -> None:
    setattr(settings, name, f"redis://:{SECRET}@h/0")
    try:
        raise RuntimeError("It broke.")
    except RuntimeError:
        reporter = ExceptionReporter(RequestFactory().get("/"), *sys.exc_info())
        pages = reporter.get_traceback_html() + reporter.get_traceback_text()
    assert "It broke." in pages
    assert name in pages
    assert SECRET not in pages


def test_the_filter_is_the_settings_own() -> None:
    assert settings.DEFAULT_EXCEPTION_REPORTER_FILTER.startswith("backups_portal.")
