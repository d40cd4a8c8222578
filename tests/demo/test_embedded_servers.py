"""The embedded servers keep their data, are closed to strangers, and survive SIGKILL."""

import io
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from backups_portal.demo import postgres, redis
from backups_portal.demo.data_folder import DataFolder, opened
from backups_portal.demo.embedded_servers import Services, running
from backups_portal.demo.errors import DemoError
from backups_portal.demo.process_identity import start_mark

START_AND_WAIT = """
import sys, time
from pathlib import Path
from backups_portal.demo.embedded_servers import running
from backups_portal.demo.data_folder import opened
with (
    opened(Path(sys.argv[1])) as folder,
    running(folder, database_url="", redis_url="", durable=True, say=print) as services,
):
    print("up", *(child.pid for child in services.children), services.database_url, flush=True)
    time.sleep(600)
"""


@contextmanager
def services(path: Path) -> Iterator[Services]:
    with (
        opened(path) as folder,
        running(folder, database_url="", redis_url="", durable=False, say=print) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which servers have run."""
    path = tmp_path_factory.mktemp("demo") / "var"
    with services(path) as found:
        with psycopg.connect(found.database_url) as connection:
            connection.execute("CREATE TABLE kept (n int)")
        with Redis.from_url(found.redis_url) as client:
            client.set("kept", "1")
    return path


def test_second_start_finds_the_data_at_the_same_address(used: Path) -> None:
    with services(used) as first, psycopg.connect(first.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    with services(used) as second:
        assert second.database_url == first.database_url


@pytest.mark.parametrize(
    ("module", "find", "package"),
    [
        (redis, redis.server_program, "redis-server"),
        (postgres, postgres.binaries, "postgresql-18"),
    ],
    ids=["redis", "postgres"],
)
def test_machine_without_a_wheel_is_told_the_one_package_to_install(
    module: ModuleType,
    find: Callable[[], Path],
    package: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(module, "PACKAGE", "no_wheel_for_this_machine")
    monkeypatch.setattr(postgres, "SYSTEM_PROGRAMS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DemoError, match=f"Install the package {package} ") as told:
        find()
    assert f"apt-get install {package}" in str(told.value)


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_server_of_the_machine_stands_in_for_a_missing_wheel(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / name
    own.touch(mode=0o755)
    monkeypatch.setattr(redis, "PACKAGE", "no_wheel_for_this_machine")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert redis.server_program() == own


def test_taken_port_is_replaced(used: Path) -> None:
    port = int((used / "run" / "postgres.port").read_text())
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with services(used) as found:
            assert f":{port}/" not in found.database_url


def test_nobody_enters_without_a_password(used: Path) -> None:
    with services(used) as found:
        address = found.database_url.partition("@")[2]
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(f"postgresql://postgres@{address}")
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            psycopg.connect(f"postgresql://postgres:guess@{address}")
        stranger = Redis.from_url(f"redis://{found.redis_url.partition('@')[2]}")
        with stranger, pytest.raises(AuthenticationError):
            stranger.ping()


def test_portal_role_is_no_superuser(used: Path) -> None:
    with services(used) as found, psycopg.connect(found.database_url) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (False, True, True)


def test_secrets_are_their_owners_alone(used: Path) -> None:
    for file in (used / "secrets").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        secret = file.read_text()
        assert not any(secret in log.read_text() for log in (used / "logs").iterdir())


def test_passwords_are_not_on_command_lines(used: Path) -> None:
    secrets = [file.read_text() for file in (used / "secrets").iterdir()]
    with services(used) as found:
        for child in found.children:
            command = Path(f"/proc/{child.pid}/cmdline").read_text()
            assert not any(secret in command for secret in secrets)


def test_second_user_of_a_folder_is_refused(used: Path) -> None:
    with opened(used), pytest.raises(DemoError, match=f"process {os.getpid()}"), opened(used):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's signal at a parent's death")
def test_services_end_with_a_killed_demo_and_start_again(used: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT, str(used)], stdout=subprocess.PIPE, text=True
    )
    assert demo.stdout is not None
    with demo.stdout:
        _, *pids, url = demo.stdout.readline().split()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE committed (n int)")
    demo.kill()
    demo.wait()
    with services(used) as found, psycopg.connect(found.database_url) as connection:
        connection.execute("DROP TABLE committed")
    assert all(start_mark(int(pid)) is None for pid in pids)


class Refusing:
    """A PostgreSQL that refuses with these messages one after another, then accepts."""

    def __init__(self, *sentences: str) -> None:
        self._sentences = list(sentences)

    def connect(self, *_: object, **__: object) -> io.BytesIO:
        if self._sentences:
            raise psycopg.OperationalError(self._sentences.pop(0))
        return io.BytesIO()

    def check(self) -> None:
        """Do nothing, like a running child."""


@pytest.mark.parametrize(
    "sentence",
    ["FATAL:  the database system is starting up", "FATAL:  it is not yet accepting connections"],
)
def test_a_cluster_that_reads_its_log_after_a_crash_is_waited_for(
    sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Refusing(sentence, sentence)
    monkeypatch.setattr(postgres, "START_SECONDS", -1.0)
    monkeypatch.setattr(postgres.pgsession, "connect", server.connect)
    postgres._wait(server, "")


def test_a_cluster_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Refusing("Connection refused")
    monkeypatch.setattr(postgres, "START_SECONDS", -1.0)
    monkeypatch.setattr(postgres.pgsession, "connect", server.connect)
    with pytest.raises(DemoError, match="Connection refused"):
        postgres._wait(server, "")


def test_orphan_on_record_is_ended(used: Path) -> None:
    orphan = subprocess.Popen(["sleep", "600"])
    record = {"pid": orphan.pid, "mark": start_mark(orphan.pid), "signal": int(signal.SIGTERM)}
    (used / "run" / "worker.json").write_text(json.dumps(record))
    with services(used):
        assert orphan.wait(5) == -signal.SIGTERM


def test_process_that_took_an_old_number_is_left_alone(used: Path) -> None:
    bystander = subprocess.Popen(["sleep", "600"])
    record = {"pid": bystander.pid, "mark": "long ago", "signal": int(signal.SIGKILL)}
    (used / "run" / "worker.json").write_text(json.dumps(record))
    (used / "postgres" / "data" / "postmaster.pid").write_text(f"{bystander.pid}\n")
    with services(used):
        assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_half_made_cluster_of_a_killed_start_is_replaced(tmp_path: Path) -> None:
    demo = subprocess.Popen([sys.executable, "-c", START_AND_WAIT, str(tmp_path / "var")])
    wait_until(lambda: any((tmp_path / "var" / "postgres").glob("new-*/data/base")))
    demo.kill()
    demo.wait()
    assert not (tmp_path / "var" / "postgres" / "data").exists()
    with services(tmp_path / "var") as found:
        psycopg.connect(found.database_url).close()
    assert not list((tmp_path / "var" / "postgres").glob("new-*"))


def test_folder_that_is_no_cluster_is_left_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "diary.txt").write_text("dear diary")
    with pytest.raises(DemoError, match="not a complete PostgreSQL cluster"), services(tmp_path):
        pass
    assert [file.name for file in data.iterdir()] == ["diary.txt"]


def test_cluster_of_another_version_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "postgres" / "data" / "global").mkdir(parents=True)
    (tmp_path / "postgres" / "data" / "global" / "pg_control").touch()
    (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(DemoError, match="belongs to PostgreSQL 15, this is 18"), services(tmp_path):
        pass


def test_interrupted_secret_is_never_half_written(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    (folder.sub("secrets") / "key.new").write_text("ha")
    assert folder.keep("key", lambda: "whole") == "whole"
    assert folder.keep("key", lambda: "other") == "whole"


def wait_until(ready: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)
