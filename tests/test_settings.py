"""Settings read from files, in which containers receive their secrets."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

MODULE = Path(settings.BASE_DIR) / "backups_portal" / "settings.py"


def settings_with(**environment: str) -> dict[str, Any]:
    """Return the settings as a process with these variables reads them."""
    with mock.patch.dict(os.environ, environment):
        return runpy.run_path(str(MODULE))


def test_a_file_gives_the_value_without_its_line_break(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("f" * 64 + "\n")
    assert settings_with(INSTALLATION_KEY_FILE=str(secret))["INSTALLATION_KEY"] == "f" * 64


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=re.escape(str(tmp_path / "gone"))):
        settings_with(SECRET_KEY_FILE=str(tmp_path / "gone"))


def test_an_empty_one_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is not set"):
        settings_with(SECRET_KEY_FILE=str(tmp_path / "empty"))


def test_what_is_optional_may_be_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    names = ("METRICS_TOKEN", "EMAIL_URL", "PROJECT_DATABASE_URL", "AWS_SECRET_ACCESS_KEY")
    found = settings_with(**{f"{name}_FILE": str(tmp_path / "empty") for name in names})
    assert found["METRICS_TOKEN"] == ""
    assert not found["EMAIL_HOST"]
    assert found["PROJECT_DATABASE_URL"] == os.environ["DATABASE_URL"]


def test_the_key_of_a_bucket_is_handed_on_to_the_library(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the bucket\n")
    with mock.patch.dict(os.environ, AWS_SECRET_ACCESS_KEY_FILE=str(tmp_path / "secret")):
        runpy.run_path(str(MODULE))
        assert os.environ["AWS_SECRET_ACCESS_KEY"] == "of the bucket"


VISITS = """
import django; django.setup()
from django.test import Client
from django.urls import reverse
plain = Client().get("/sign-in/")
page = Client().get("/sign-in/", secure=True)
(cookie,) = page.cookies.values()
print(plain.status_code, plain["Location"])
print(page.status_code, page["Strict-Transport-Security"])
print(cookie["secure"], cookie["httponly"], cookie["samesite"])
from django.conf import settings
print(settings.SESSION_COOKIE_SECURE, settings.SESSION_COOKIE_HTTPONLY)
print(Client().get("/healthz").status_code)
"""


def test_without_a_word_browsers_are_kept_to_https() -> None:
    """This process has the defaults; the tests' own settings allow plain HTTP."""
    loose = ("SECURE_COOKIES", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS")
    kept = {name: value for name, value in os.environ.items() if name not in loose}
    # DEBUG: static files without a build.
    environment = {**kept, "DEBUG": "1", "DJANGO_SETTINGS_MODULE": "backups_portal.settings"}
    found = subprocess.run(
        [sys.executable, "-c", VISITS],
        env=environment,
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout.splitlines() == [
        "301 https://testserver/sign-in/",
        "200 max-age=31536000",
        "True True Lax",
        "True True",
        "200",
    ], found.stderr


def test_other_hosts_of_the_domain_are_the_operators_decision() -> None:
    both = {"SECURE_HSTS_INCLUDE_SUBDOMAINS": "1", "SECURE_HSTS_PRELOAD": "1"}
    for name in both:
        assert settings_with()[name] is False
        assert settings_with(**both)[name] is True
    with pytest.raises(ImproperlyConfigured, match="needs SECURE_HSTS_INCLUDE_SUBDOMAINS=1"):
        settings_with(SECURE_HSTS_PRELOAD="1")
