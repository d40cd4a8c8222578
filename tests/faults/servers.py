"""The PostgreSQL server of this run, which a test kills."""

import atexit
import os
import signal
import subprocess
from contextlib import suppress

import psutil
import psycopg
import pytest
from django.conf import settings
from django.db import Error, connection

from backups_portal.demo.child_processes import tied_to_parent
from backups_portal.projects.models import Project
from tests.faults.laboratory import until
from tests.processes import kill_tree


def answers() -> bool:
    """Return whether this run's server answers with each of its roles."""
    connection.close()
    with suppress(psycopg.Error, Error):
        psycopg.connect(settings.PROJECT_DATABASE_URL).close()
        Project.objects.exists()
        return True
    return False


class ServerOfThisRun:
    """The PostgreSQL that the test plugin has started, for the portal and for projects."""

    def __init__(self) -> None:
        with psycopg.connect(settings.PROJECT_DATABASE_URL) as server:
            # Look it up while the backend lives, which may end when the connection closes.
            process = psutil.Process(server.info.backend_pid).parent()
        if process is None or process.ppid() != os.getpid():
            pytest.skip("DATABASE_URL names a server that this run has not started")
        self._pid, self._command, self._folder = process.pid, process.cmdline(), process.cwd()
        self._user, self._group = process.uids().real, process.gids().real

    def kill(self) -> None:
        """Kill the postmaster; its processes notice, and end."""
        kill_tree(self._pid, whole=False)
        os.waitpid(self._pid, 0)

    def start(self) -> None:
        """Start it again with the same settings until this run ends, and wait until it answers."""
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
        return {"user": self._user, "group": self._group, "extra_groups": []}


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.send_signal(signal.SIGQUIT)
    server.wait()
