"""The PostgreSQL server of this run, which a test kills."""

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

from backups_portal.demo.child_processes import tied_to_parent
from backups_portal.projects.models import Project
from tests.faults.laboratory import until


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
