"""Run a Python module as `python -m` does, in a fork of a process with imported libraries.

Libraries are more than half of the second or two of processor time that a worker or a web server
takes to start. Each process loads the portal's own code and settings itself.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

# Imports of web servers and workers that work without Django's settings.
LIBRARIES = (
    *("adbc_driver_postgresql.dbapi", "asgiref.sync", "botocore.session", "brotli"),
    *("celery.apps.beat", "celery.apps.worker", "celery.bin.celery", "celery.fixups.django"),
    *("celery.worker.components", "celery.worker.consumer", "kombu.transport.redis"),
    *("cryptography.fernet", "fido2.server", "jwt", "qrcode.image.svg", "requests"),
    *("django.contrib.auth.hashers", "django.core.mail", "django.db.backends.postgresql.base"),
    *("django.forms", "django.middleware.csrf", "django.template.backends.jinja2", "django.test"),
    *("django.urls", "django.views.generic", "jinja2.ext", "whitenoise.storage"),
    *("gunicorn.app.wsgiapp", "gunicorn.workers.gthread", "httpcore"),
    *("limits.storage", "numpy", "obstore", "orjson", "prometheus_client", "psycopg.types.json"),
    *("pyarrow.compute", "pyarrow.parquet", "pydantic.networks", "pydantic.root_model"),
    *("redis.asyncio", "rich", "standardwebhooks", "structlog", "ua_parser", "yaml"),
)
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(LIBRARIES))


class ModuleProcess:
    """A process that leads its own group, with the Popen methods that tests call."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        """Start it.

        Args:
            command: The module, and its arguments.
            log: The file for its output.
            environment: Its whole environment.
        """
        # Callers may read the log before the process has opened it.
        log.write_bytes(b"")
        arguments = (list(command), str(log), dict(environment))
        self._process = _context.Process(target=_become, args=arguments, daemon=True)
        # The child must not import the parent's main module, pytest or a benchmark.
        with patch.dict(sys.modules, {"__main__": ModuleType("__main__")}):
            self._process.start()
        self.pid: int = self._process.pid or 0

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return the exit code."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()


def _become(command: Sequence[str], log: str, environment: Mapping[str, str]) -> None:
    """Turn this process into the module."""
    os.setpgid(0, 0)
    stream = os.open(log, os.O_WRONLY)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.path[:0] = [os.getcwd(), *filter(None, environment.get("PYTHONPATH", "").split(":"))]
    module, *arguments = command
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
