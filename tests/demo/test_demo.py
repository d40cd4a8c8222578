"""`manage.py demo` as a user meets it: up, blocked by another one, killed, stopped."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings

from backups_portal.demo.ports import free_port
from backups_portal.demo.process_identity import start_mark

UP_SECONDS = 120.0
# For all idle processes together with PostgreSQL and Redis.
MAX_MEMORY = 650_000_000
NAMES = ("web", "worker", "system", "beat", "postgres", "redis")


class Demo:
    """A demo in a separate process, whose environment has only `settings_`."""

    def __init__(self, folder: Path, *, port: int | None = None, **settings_: str) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "manage.py", "demo", "--empty"),
                *("--port", str(self.port), "--data-dir", str(folder)),
            ],
            cwd=settings.BASE_DIR,
            env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **settings_},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_until_up(self) -> dict[str, Any]:
        """Return demo.json once the portal answers."""
        deadline = time.monotonic() + UP_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz"):
                    described = json.loads((self.folder / "demo.json").read_text())
                    if described["base_url"].endswith(f":{self.port}"):
                        return described
            except OSError:
                pass
            time.sleep(0.1)
        pytest.fail(f"the demo did not come up: {self.end()}")

    def end(self, signal_: signal.Signals | None = None) -> tuple[int, str]:
        """End the demo; return its exit code and output."""
        if signal_:
            self.process.send_signal(signal_)
        try:
            said, _ = self.process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            said, _ = self.process.communicate()
        return self.process.returncode, said

    def wait_until_nothing_is_left(self) -> None:
        """Return once no process of it runs; without their parent they soon end."""
        deadline = time.monotonic() + 10
        while any(start_mark(self.pid_of(name)) for name in NAMES):
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def pid_of(self, name: str) -> int:
        """Return the process id of one of its processes."""
        return int(json.loads((self.folder / "run" / f"{name}.json").read_text())["pid"])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "var"
    yield path
    for record in (path / "run").glob("*.json"):
        # A failed test may have left it running.
        try:
            os.killpg(json.loads(record.read_text())["pid"], signal.SIGKILL)
        except ProcessLookupError:
            continue


def memory_of(pid: int) -> int:
    """Return a process tree's memory in bytes; shared pages count once."""
    root = psutil.Process(pid)
    processes = [root, *root.children(recursive=True)]
    return sum(one.memory_full_info().pss for one in processes)


def add_project_on_server_that_is_away(folder: Path) -> None:
    """Register the demo's server, and a silent one that holds a project."""
    lines = (folder / "demo.env").read_text().splitlines()
    settings_ = dict(shlex.split(line)[0].split("=", 1) for line in lines)
    code = """if True:
        import django
        django.setup()
        from backups_portal.projects.servers import choose_server, register_server
        from tests.factories import make_project_row
        choose_server()
        make_project_row(slug="far", server=register_server("away", "postgresql://127.0.0.1:1/x"))
    """
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **settings_}, check=True)


def test_demo_from_its_first_start_to_its_end(folder: Path) -> None:
    first = Demo(folder)
    described = first.wait_until_up()
    assert {account["role"] for account in described["accounts"]} == {
        "owner",
        "collaborator",
        "stranger",
    }
    assert described["projects"] == []

    # Others that want its port or its folder are refused with a reason, and change nothing.
    for other, sentence in (
        (
            Demo(folder.with_name("other"), port=first.port),
            f"Port {first.port} cannot be used (Address already in use)",
        ),
        (
            # Starting it twice reports the running demo, which says more than a used port.
            Demo(folder, port=first.port),
            f"Another demo (process {first.process.pid}) uses {folder}",
        ),
    ):
        code, said = other.end()
        assert (code, said.count("\n")) == (1, 1)
        assert sentence in said

    assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL
    if sys.platform == "linux":
        first.wait_until_nothing_is_left()

    second = Demo(folder)
    again = second.wait_until_up()
    assert again["accounts"] == described["accounts"]
    assert again["database_url"] == described["database_url"]

    add_project_on_server_that_is_away(folder)
    os.kill(second.pid_of("worker"), signal.SIGKILL)
    code, said = second.end()
    assert code == 1
    assert "The worker process ended by itself (signal 9). The last lines of" in said
    assert "ready." in said
    assert "not encrypted in this demo" in said
    assert "Traceback" not in said

    third = Demo(folder)
    assert third.wait_until_up()["projects"] == []
    if sys.platform == "linux":
        # Not measured on a first start: processes that have compiled their imports stay larger.
        assert memory_of(third.process.pid) < MAX_MEMORY
    started = time.monotonic()
    code, said = third.end(signal.SIGTERM)
    assert code == 0
    assert "Stopped." in said
    assert "These databases were not upgraded:\nfar: " in said
    assert "Traceback" not in said
    assert time.monotonic() - started < 15
    assert not any(start_mark(third.pid_of(name)) for name in NAMES)


def test_ctrl_c_while_starting_ends_cleanly(folder: Path) -> None:
    demo = Demo(folder)
    deadline = time.monotonic() + UP_SECONDS
    while not (folder / "run" / "redis.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    code, said = demo.end(signal.SIGINT)
    assert code == 0, said
    assert "Traceback" not in said


def test_a_setting_that_is_wrong_is_told_and_nothing_is_served(folder: Path) -> None:
    demo = Demo(folder, SNAPSHOT_MASTER_KEYS="nonsense")
    code, said = demo.end()
    assert code == 1
    assert "SNAPSHOT_MASTER_KEYS: entry 1 is not an id" in said
    assert "Traceback" not in said
    assert not (folder / "demo.json").exists()


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        folder = Path("/proc/var")  # root can write everywhere else
    else:
        folder = tmp_path / "closed" / "var"
        folder.parent.mkdir(mode=0o555)
    code, said = Demo(folder).end()
    assert (code, said.count("\n")) == (1, 1)
    assert f"The data folder {folder} cannot be written to" in said


# What an engineer's shell may contain for other programs, and a terminal that is not UTF-8.
ELSEWHERE = {
    "CELERY_BROKER_URL": "amqp://127.0.0.1:1",
    "CELERY_RESULT_BACKEND": "redis://127.0.0.1:1",
    "PGHOST": "127.0.0.2",
    "PGOPTIONS": "-cno_such_setting=1",
    "PGSERVICE": "no-such-service",
    "PGSSLMODE": "verify-full",
    "LC_ALL": "C",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONUTF8": "0",
}


def test_environment_for_other_programs_is_ignored(folder: Path) -> None:
    demo = Demo(folder, **ELSEWHERE)
    demo.wait_until_up()
    code, said = demo.end(signal.SIGINT)
    assert code == 0
    assert "Creating a PostgreSQL cluster ?" in said
