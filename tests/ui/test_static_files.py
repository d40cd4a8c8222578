"""A web server without static files says how to collect them."""

from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from pytest_django import Settings

from backups_portal.ui.static_files import report_missing_static_files

DEPLOYED = {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}


def test_missing_ones_are_a_sentence_of_the_log(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.STATIC_ROOT = str(tmp_path)
    settings.STORAGES = {**django_settings.STORAGES, "staticfiles": DEPLOYED}
    report_missing_static_files()
    (line,) = caplog.messages
    assert line.startswith("no page can be shown without its static files: run")
    assert str(tmp_path) in line
    call_command("collectstatic", interactive=False, verbosity=0)
    caplog.clear()
    report_missing_static_files()
    assert not caplog.messages
