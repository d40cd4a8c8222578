"""Run a Python module as `python -m` does, in a fork of a process that has imported libraries.

Libraries are more than half of the second or two of processor time that a worker or a web server
takes to start. The portal's own code and its settings are read in each process.
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

# What a web server and a worker import and can be imported without Django's settings.
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
    """A process that leads a group of its own, with those methods of a Popen that tests call."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        """Start it.

        Args:
            command: The module, and its arguments.
            log: Where its output goes.
            environment: All of it.
        """
        # Whoever reads it does not wait for the process.
        log.write_bytes(b"")
        arguments = (list(command), str(log), dict(environment))
        self._process = _context.Process(target=_become, args=arguments, daemon=True)
        # Whoever starts it is no part of it, be it pytest or a benchmark.
        with patch.dict(sys.modules, {"__main__": ModuleType("__main__")}):
            self._process.start()
        self.pid: int = self._process.pid or 0

    def poll(self) -> int | None:
        """How it ended, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """How it ended, once it has."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it."""
        self._process.kill()


def _become(command: Sequence[str], log: str, environment: Mapping[str, str]) -> None:
    """Be the module from here on."""
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
