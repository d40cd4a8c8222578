"""PostgreSQL servers that a test kills: the one of this run, and one of a test's own."""

import atexit
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import Error, connection

from backups_portal.demo.child_processes import Child, tied_to_parent
from backups_portal.demo.data_folder import DataFolder
from backups_portal.demo.postgres import SUPERUSER, start_postgres
from backups_portal.projectdb.database_url import database_url
from backups_portal.projects.models import Project
from tests.faults.laboratory import until
from tests.services import postgres


def answers() -> bool:
    """Whether the server of this run answers, to the portal and to whoever makes databases."""
    connection.close()
    with suppress(psycopg.Error, Error):
        psycopg.connect(settings.PROJECT_DATABASE_URL).close()
        Project.objects.exists()
        return True
    return False


class ServerOfThisRun:
    """PostgreSQL as the plugin of the tests has started it, for the portal and for projects."""

    def __init__(self) -> None:
        with psycopg.connect(settings.PROJECT_DATABASE_URL) as server:
            self._pid = _parent(server.info.backend_pid)
        if _parent(self._pid) != os.getpid():
            pytest.skip("DATABASE_URL names a server that this run has not started")
        process = Path(f"/proc/{self._pid}")
        self._command = process.joinpath("cmdline").read_text().rstrip("\0").split("\0")
        self._folder = process.joinpath("cwd").readlink()
        self._user = process.stat()

    def kill(self) -> None:
        """Kill the postmaster; its processes notice, and end."""
        others = [pid for pid in _all_pids() if _parent(pid) == self._pid]
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        until(lambda: not any(map(_is_alive, others)), ticking=False)

    def start(self) -> None:
        """Start it again, as it was, until this run ends; and wait until it answers."""
        started = subprocess.Popen(
            self._command,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=tied_to_parent(signal.SIGQUIT),
            **self._as_before(),
        )
        atexit.register(_stop, started)
        until(answers, ticking=False)

    def _as_before(self) -> dict[str, object]:
        if os.geteuid() != 0:
            return {}
        return {"user": self._user.st_uid, "group": self._user.st_gid, "extra_groups": []}


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.send_signal(signal.SIGQUIT)
    server.wait()


def _all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _status(pid: int) -> list[str]:
    """State, parent, … of a process; nothing of one that is gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _parent(pid: int) -> int | None:
    status = _status(pid)
    return int(status[1]) if status else None


def _is_alive(pid: int) -> bool:
    return _status(pid)[:1] not in ([], ["Z"])


class Cluster:
    """A PostgreSQL server of a test's own."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder
        self._child, self.url = self._start()

    def _start(self) -> tuple[Child, str]:
        return start_postgres(
            self._folder, durable=False, say=lambda line: None, programs=postgres()
        )

    @property
    def superuser_url(self) -> str:
        """For what only an operator does."""
        password = self._folder.keep(SUPERUSER, lambda: "")
        return database_url(self.url, database=SUPERUSER, user=SUPERUSER, password=password)

    @property
    def owner(self) -> os.stat_result:
        """Whose the files are."""
        return (self._folder.path / "postgres" / "data").stat()

    def stop(self) -> None:
        self._child.stop()
