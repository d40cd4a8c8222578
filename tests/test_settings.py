"""Settings that come from files, as containers are given their secrets."""

import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings


def value_of(name: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A setting as a process of its own reads it."""
    return subprocess.run(
        [sys.executable, "-c", f"from backups_portal import settings; print(settings.{name})"],
        env={**os.environ, **environment},
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_file_gives_the_value_without_its_line_break(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("f" * 64 + "\n")
    found = value_of("INSTALLATION_KEY", INSTALLATION_KEY_FILE=str(secret))
    assert found.stdout.strip("\n") == "f" * 64


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    found = value_of("SECRET_KEY", SECRET_KEY_FILE=str(tmp_path / "gone"))
    assert found.returncode
    assert str(tmp_path / "gone") in found.stderr


def test_an_empty_one_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    found = value_of("SECRET_KEY", SECRET_KEY_FILE=str(tmp_path / "empty"))
    assert "SECRET_KEY is not set" in found.stderr


def test_what_is_optional_may_be_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    names = ("METRICS_TOKEN", "EMAIL_URL", "PROJECT_DATABASE_URL", "AWS_SECRET_ACCESS_KEY")
    environment = {f"{name}_FILE": str(tmp_path / "empty") for name in names}
    assert value_of("METRICS_TOKEN", **environment).stdout == "\n"
    assert value_of("EMAIL_HOST", **environment).stdout.strip() in ("", "None")
    same = value_of("PROJECT_DATABASE_URL", **environment).stdout.strip()
    assert same == os.environ["DATABASE_URL"]


def test_the_key_of_a_bucket_is_handed_on_to_the_library(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the bucket\n")
    file = str(tmp_path / "secret")
    found = value_of("os.environ['AWS_SECRET_ACCESS_KEY']", AWS_SECRET_ACCESS_KEY_FILE=file)
    assert found.stdout.strip() == "of the bucket"


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
    """A process with the defaults; those of the tests allow plain HTTP."""
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
        assert value_of(name).stdout.strip() == "False"
        assert value_of(name, **both).stdout.strip() == "True"
    refused = value_of("SECURE_HSTS_PRELOAD", SECURE_HSTS_PRELOAD="1")
    assert "needs SECURE_HSTS_INCLUDE_SUBDOMAINS=1" in refused.stderr
