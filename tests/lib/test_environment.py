"""Settings from valid and invalid environments."""

import ast
import os
import runpy
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

ROOT = Path(settings.BASE_DIR)
MODULE = ROOT / "backups_portal" / "settings.py"


def read(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, Any]:
    """Return the settings of a process with these variables."""
    with monkeypatch.context() as patched:
        for name, value in environment.items():
            patched.setenv(name, value)
        return runpy.run_path(str(MODULE))


LITERAL = [
    "$abc",
    "$HOME",
    r"\$abc",
    "$$",
    "'quoted'",
    '"quoted"',
    "a#b",
    "a,b",
    "%20",
    "${HOME}",
    "$",
]


@pytest.mark.parametrize("value", LITERAL)
@pytest.mark.parametrize("name", ["SECRET_KEY", "METRICS_TOKEN"])
def test_a_secret_is_what_was_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    (tmp_path / "secret").write_text(value + "\n")
    assert read(monkeypatch, **{name: value})[name] == value
    assert read(monkeypatch, **{f"{name}_FILE": str(tmp_path / "secret")})[name] == value


@pytest.mark.parametrize("value", LITERAL)
def test_the_key_of_a_bucket_is_what_was_written(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    with monkeypatch.context() as patched:
        patched.setenv("AWS_SECRET_ACCESS_KEY", value)
        runpy.run_path(str(MODULE))
        assert os.environ["AWS_SECRET_ACCESS_KEY"] == value


DATABASE = "postgresql://u:$p@h:5433/d?sslmode=verify-full&sslrootcert=system&connect_timeout=3"
STARRED = {
    "ALLOWED_HOSTS": "*",
    "PORTAL_URL": "https://p.example.com",
    "MAIL_FROM": "p@example.com",
}
ORIGINS = "CSRF_TRUSTED_ORIGINS"
RIGHT: list[tuple[dict[str, str], str, Any]] = [
    ({"ALLOWED_HOSTS": " a.example , b.example,"}, "ALLOWED_HOSTS", ["a.example", "b.example"]),
    ({"ALLOWED_HOSTS": ".example.com"}, "PORTAL_URL", "https://example.com"),
    (STARRED, "PORTAL_URL", "https://p.example.com"),
    (STARRED, ORIGINS, ["https://p.example.com"]),
    ({"PORTAL_URL": "http://h:8000/portal/"}, ORIGINS, ["http://h:8000"]),
    (STARRED, "HOST", "p.example.com"),
    (STARRED, "DEFAULT_FROM_EMAIL", "p@example.com"),
    ({ORIGINS: "https://a.b, https://*.c.d/"}, ORIGINS, ["https://a.b", "https://*.c.d", "https://localhost"]),
    ({"SNAPSHOT_RETRY_MINUTES": "1, 2 ,3"}, "SNAPSHOT_RETRY_MINUTES", [1, 2, 3]),
    ({"SNAPSHOT_RETRY_MINUTES": ""}, "SNAPSHOT_RETRY_MINUTES", []),
    ({"SNAPSHOT_READERS": ""}, "SNAPSHOT_READERS", 0),
    ({"SECURE_COOKIES": ""}, "SECURE_COOKIES", True),
    ({"SECURE_COOKIES": "No"}, "SECURE_COOKIES", False),
    ({"BEHIND_PROXY": " on "}, "PROXY_HOPS", 1),
    ({"PORTAL_URL": "https://p.example.com:8443/"}, "PORTAL_URL", "https://p.example.com:8443"),
    ({"PORTAL_URL": "http://[::1]:8000"}, "PORTAL_URL", "http://[::1]:8000"),
    ({"PROJECT_CREATION_FEE": "12.5"}, "PROJECT_CREATION_FEE", Decimal("12.5")),
    ({"PROJECT_DATABASE_URL": "psql://u@h/d"}, "PROJECT_DATABASE_URL", "postgresql://u@h/d"),
    ({"REDIS_URL": "rediss://h"}, "REDIS_URL", "rediss://h:6379/0"),
    ({"REDIS_URL": "unix:///run/r.sock"}, "CELERY_BROKER_URL", "redis+socket:///run/r.sock?virtual_host=0"),
    ({"EMAIL_URL": "smtps://u:$p@h:465"}, "EMAIL_USE_SSL", True),
    ({"EMAIL_URL": "smtps://u:$p@h:465"}, "EMAIL_HOST_PASSWORD", "$p"),
]  # fmt: skip


@pytest.mark.parametrize(("environment", "name", "value"), RIGHT)
def test_a_setting_is_what_was_meant(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], name: str, value: Any
) -> None:
    assert read(monkeypatch, **environment)[name] == value


def test_parameters_of_the_database_reach_django(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = read(monkeypatch, DATABASE_URL=DATABASE, PROJECT_DATABASE_URL="")[
        "DATABASES"
    ].values()
    assert found["OPTIONS"] == {
        "sslmode": "verify-full",
        "sslrootcert": "system",
        "connect_timeout": "3",
    }
    assert (found["HOST"], found["PORT"], found["PASSWORD"]) == ("h", "5433", "$p")


def test_celery_verifies_the_certificate_of_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, REDIS_URL="rediss://h")["CELERY_BROKER_USE_SSL"]
    assert found["ssl_cert_reqs"].name == "CERT_REQUIRED"


WRONG: list[tuple[str, str]] = [
    ("ALLOWED_HOSTS", "https://portal.example.com"),
    ("ALLOWED_HOSTS", "portal.example.com:8000"),
    ("ALLOWED_HOSTS", "a.example.com b.example.com"),
    ("CSRF_TRUSTED_ORIGINS", "portal.example.com"),
    ("CSRF_TRUSTED_ORIGINS", "https://portal.example.com/path"),
    ("INSTALLATION_KEY", "abc"),
    ("INSTALLATION_KEY", "g" * 64),
    ("SNAPSHOT_MASTER_KEYS", "2026-11:abc"),
    ("SNAPSHOT_MASTER_KEYS", "plain"),
    ("SNAPSHOT_MASTER_KEYS", f"one:{'a1' * 32},one:{'b2' * 32}"),
    ("DATABASE_URL", "mysql://u:p@h/d"),
    ("DATABASE_URL", "postgresql://u:p@h"),
    ("PROJECT_DATABASE_URL", "postgresql://u:p@h/d?colour=red"),
    ("DATABASE_URL", "postgresql://u:p@h/d?sslmode=verify-full&sslmode=disable"),
    ("REDIS_URL", "localhost:6379"),
    ("SNAPSHOT_STORAGE", "file://data/x"),
    ("SNAPSHOT_COPY_STORAGE", "/data"),
    ("EMAIL_URL", "smtps://h:587"),
    ("MAIL_FROM", "nobody"),
    ("PORTAL_URL", "portal.example.com"),
    ("PORTAL_URL", "https://u:p@portal.example.com"),
    ("API_URL", "https://api.example.com/?x=1"),
    ("CURRENCY", "Euro"),
    ("LOG_LEVEL", "LOUD"),
    ("LOG_FORMAT", "xml"),
    ("PROJECT_CREATION_FEE", "25,00"),
    ("PROJECT_CREATION_FEE", "NaN"),
    # The fee is charged exactly, in whole cents.
    ("PROJECT_CREATION_FEE", "25.005"),
    ("PROJECT_RUNNING_FEE_PER_HOUR", "-1"),
    ("SNAPSHOT_FULL_EVERY_DAYS", "99999999"),
    ("ORPHAN_GRACE_HOURS", "9999999999"),
    ("LEASE_SECONDS", "0"),
    ("PROXY_HOPS", "-1"),
    ("PROXY_HOPS", "1.0"),
    ("SECURE_COOKIES", "ture"),
    ("DEBUG", "2"),
    ("SNAPSHOT_RETRY_MINUTES", "5;15"),
    ("SNAPSHOT_RETRY_MINUTES", "5,-1"),
]


def refusal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """Return the error for unusable settings."""
    with pytest.raises(ImproperlyConfigured) as refused:
        read(monkeypatch, **environment)
    assert refused.value.__cause__ is None
    return str(refused.value)


def test_yen_have_no_fractions(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal(monkeypatch, CURRENCY="JPY", PROJECT_CREATION_FEE="25.50")
    assert "PROJECT_CREATION_FEE" in said
    assert read(monkeypatch, CURRENCY="JPY")["PROJECT_CREATION_FEE"] == 25


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_refused_by_the_name_of_its_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    said = refusal(monkeypatch, **{name: value})
    assert said.startswith(name)
    assert said.endswith(".")


def typed() -> dict[str, list[str]]:
    """Return the settings with numbers, booleans and lists of numbers."""
    found: dict[str, list[str]] = {"int": [], "bool": [], "list": []}
    for node in ast.walk(ast.parse(MODULE.read_text())):
        match node:
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Name(id="env"), attr=("int" | "bool" | "list") as kind
                ),
                args=[ast.Constant(value=str(name)), *_],
                keywords=keywords,
            ):
                is_other = kind == "list" and not any(
                    isinstance(word.value, ast.Name) and word.value.id == "int" for word in keywords
                )
                if not is_other:
                    found[kind].append(name)
    return found


@examples(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(["int", "bool", "list"]), choice=st.integers(0), junk=st.text(min_size=1)
)
def test_whatever_is_no_value_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, kind: str, choice: int, junk: str
) -> None:
    names = typed()[kind]
    name = names[choice % len(names)]
    # Remove what no environment can hold; the suffix prevents a valid value.
    value = junk.replace("\0", "").encode(errors="ignore").decode().strip() + "~"
    said = refusal(monkeypatch, **{name: value})
    assert said.startswith((f"{name} is ", f"{name} must be "))
    assert value not in said or len(value) < 3


@pytest.mark.parametrize(
    "given", [{}, {"PORTAL_URL": "https://p.example.com"}, {"MAIL_FROM": "p@h.example"}]
)
def test_every_host_is_allowed_only_where_links_have_one(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    for hosts in ("*", "localhost,*", "*,localhost"):
        said = refusal(monkeypatch, ALLOWED_HOSTS=hosts, **given)
        assert said.startswith(("PORTAL_URL is not set.", "MAIL_FROM is not set."))
        assert "ALLOWED_HOSTS=*" in said


def test_a_file_that_is_no_text_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xff\xfe")
    said = refusal(monkeypatch, SECRET_KEY_FILE=str(tmp_path / "secret"))
    assert said == "SECRET_KEY_FILE names a file that is not UTF-8 text."


def test_a_line_that_is_no_assignment_is_counted_and_not_shown(tmp_path: Path) -> None:
    from backups_portal.lib.environment import Environment

    (tmp_path / ".env").write_text("# fine\nDEBUG=0\nREDIS_URL = redis://:s3cret@h\n")
    with pytest.raises(ImproperlyConfigured) as refused:
        Environment().read_file(tmp_path / ".env")
    assert str(refused.value) == "Line 3 of .env is neither NAME=value nor a # comment."


@pytest.mark.parametrize(
    "command",
    [
        ["manage.py", "check"],
        ["-m", "celery", "-A", "backups_portal", "status"],
        ["-c", "import backups_portal.wsgi"],
        ["-c", "import backups_portal.tagoio_api.wsgi"],
    ],
)
def test_a_process_with_wrong_settings_ends_with_one_sentence(command: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "DATABASE_URL": "psql+x://u:s3cret@h/d"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode
    (said,) = ended.stderr.splitlines()
    assert said.startswith("backups-portal: DATABASE_URL: ")
    assert "s3cret" not in said
