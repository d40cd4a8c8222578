"""The health checks of docker-compose.yml, run by a shell against their services."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from backups_portal.demo.ports import free_port
from tests.conftest import database_of_this_test, running_worker
from tests.contract.server import running
from tests.faults.serving import running_beat

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
CHECKS = {
    name: service["healthcheck"]["test"]
    for name, service in SERVICES.items()
    if "healthcheck" in service
}
PATIENCE = 60.0


def test_all_that_stays_up_is_checked() -> None:
    assert CHECKS.keys() == SERVICES.keys() - {"migrate"}


@pytest.mark.parametrize("service", CHECKS)
def test_a_check_is_one_line_of_a_shell_that_starts_no_python(service: str) -> None:
    """podman-compose turns a list of words into one that does nothing, and loses quotes."""
    kind, *commands = CHECKS[service]
    assert kind == "CMD-SHELL"
    (command,) = commands
    words = re.split(r"[\s|]+", command)
    assert not {"python", "python3", "celery", "gunicorn"} & set(words)
    assert not re.search(r"[\"'\\]|  ", command)


def passes(command: str) -> bool:
    """Return whether a check passes in the smallest installed shell."""
    shell = shutil.which("dash") or "sh"
    return subprocess.run([shell, "-c", command], capture_output=True, timeout=20).returncode == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("service", "application"),
    [("web", "backups_portal.asgi"), ("api", "backups_portal.tagoio_api.asgi")],
)
def test_a_web_server_answers(service: str, application: str, tmp_path: Path) -> None:
    (command,) = CHECKS[service][1:]
    assert command == "answers"
    copied = re.search(r"^COPY (\S+) /usr/local/bin/answers$", dockerfile(), re.MULTILINE)
    assert copied
    script = ROOT / copied[1]
    assert os.access(script, os.X_OK)
    # The check must pass whatever the portal's host names.
    environment = {**database_of_this_test(), "ALLOWED_HOSTS": "portal.example.com"}
    with running(application, environment, tmp_path / "server.log") as url:
        assert passes(f"{script} {url.rpartition(':')[2]}")
    assert not passes(f"{script} {free_port()}")


def dockerfile() -> str:
    return (ROOT / ".docker" / "Dockerfile").read_text()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The liveness file of a process in this test."""
    monkeypatch.setenv("LIVENESS_PATH", str(tmp_path / "alive"))
    return tmp_path / "alive"


def check_of(service: str, file: Path) -> str:
    (command,) = CHECKS[service][1:]
    configured = SERVICES[service]["environment"]["LIVENESS_PATH"]
    assert configured in command
    return str(command.replace(configured, str(file)))


def wait_until_it_passes(command: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not passes(command):
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(params=["worker", "system", "beat"])
def living(
    request: pytest.FixtureRequest, file: Path, storage_url: str, tmp_path: Path
) -> Iterator[str]:
    """Run a process of one of these services, with its health check."""
    service: str = request.param
    command = check_of(service, file)
    assert not passes(command)
    if service == "beat":
        with running_beat(storage_url, tmp_path / "beat.log"):
            yield command
    else:
        queues = "system" if service == "system" else ""
        with running_worker(storage_url, tmp_path / f"{service}.log", queues=queues):
            yield command


@pytest.mark.django_db(transaction=True)
def test_a_process_that_lives_passes_until_it_is_silent(living: str, file: Path) -> None:
    wait_until_it_passes(living)
    old = time.time() - 3 * 60
    os.utime(file, (old, old))
    assert not passes(living)
