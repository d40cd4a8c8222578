"""Start PostgreSQL and Redis once per process of a test run, before Django's settings are read.

A pytest plugin (see `addopts`), because a conftest would be read after the settings. A full run is
distributed over three processes for two cores; each has its own servers, so that no test meets
another's databases or queues. Servers that DATABASE_URL and REDIS_URL name are for one process.
TEST_POSTGRES_BIN names the folder of another PostgreSQL's programs, such as
/usr/lib/postgresql/15/bin.
"""

import argparse
import atexit
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import ExitStack
from functools import partial
from multiprocessing.util import Finalize
from pathlib import Path

import psutil
import pytest

from backups_portal.demo.data_folder import opened
from backups_portal.demo.embedded_servers import running
from backups_portal.demo.errors import DemoError
from backups_portal.demo.postgres import Programs

NOWHERE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1/none",
    "REDIS_URL": "redis://127.0.0.1/0",
}

# Safe, because mkdtemp makes a private folder there.
MEMORY, PLENTY = "/dev/shm", 6 * 2**30  # noqa: S108


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    """Set what the settings need, before pytest-django reads them."""
    options = early_config.known_args_namespace
    memory = _memory()
    folder = Path(tempfile.mkdtemp(prefix="backups-portal-tests-", dir=memory))
    (folder / "static").mkdir()
    # Runs last: forked modules keep their temporary files there, which multiprocessing removes at
    # the end.
    Finalize(None, partial(shutil.rmtree, folder, ignore_errors=True), exitpriority=-1000)
    if memory:
        # For temporary files of tests and their processes, including tmp_path.
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    os.environ.update(_environment(folder))
    # Undo what the distributing process has set for itself and its children have inherited.
    for name, value in NOWHERE.items():
        if os.environ.get(name) == value:
            del os.environ[name]
    if options.help or options.version or _is_spread(options):
        os.environ.update({**NOWHERE, **os.environ})
    else:
        _start(folder)
    return (yield)


def pytest_report_header() -> str:
    """Report what a run's time depends on most: a disk takes up to twice as long."""
    folder = tempfile.gettempdir()
    return f"files: in {folder}, {'in memory' if folder.startswith(MEMORY) else 'on a disk'}"


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return three processes for two cores (a third of the time is waiting); one for a part."""
    return (os.cpu_count() or 1) * 3 // 2 if _is_spread(config.option) else 0


def _is_spread(options: argparse.Namespace) -> bool:
    """Return whether this process only distributes tests to others."""
    named = any(os.environ.get(name) not in (None, value) for name, value in NOWHERE.items())
    if "PYTEST_XDIST_WORKER" in os.environ or options.usepdb or named:
        return False
    if options.numprocesses == "auto":
        return not options.file_or_dir
    return bool(options.numprocesses)


def _memory() -> str | None:
    """Return a folder in memory if there is plenty of it; None for the usual one.

    A third of all time went into making and deleting the thousands of files that databases are.
    """
    try:
        room = shutil.disk_usage(MEMORY).free
    except OSError:
        return None
    # Available, not free: the page cache fills unused memory and gives it back.
    available = psutil.virtual_memory().available
    return MEMORY if "TMPDIR" not in os.environ and min(room, available) > PLENTY else None


def programs_in(folder: Path) -> Programs:
    """Return the PostgreSQL programs in a folder.

    Raises:
        DemoError: the folder contains none.
    """
    try:
        ran = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise DemoError(f"There is no PostgreSQL in {folder}: {error}") from error
    found = re.search(r"\d+", ran.stdout)
    if found is None:
        raise DemoError(f"{folder / 'postgres'} does not tell its version: {ran.stdout.strip()}")
    return Programs(folder, int(found[0]))


def postgres() -> Programs | None:
    """Return the PostgreSQL that this run requests; None for the embedded one."""
    named = os.environ.get("TEST_POSTGRES_BIN")
    return programs_in(Path(named)) if named else None


def _start(folder: Path) -> None:
    # Ends them at exit, not in a pytest hook, so that an aborted run ends them as well.
    stack = ExitStack()
    atexit.register(stack.close)
    try:
        services = stack.enter_context(
            running(
                stack.enter_context(opened(folder)),
                database_url=os.environ.get("DATABASE_URL", ""),
                redis_url=os.environ.get("REDIS_URL", ""),
                durable=False,
                say=lambda line: None,
                programs=postgres(),
            )
        )
    except DemoError as error:
        raise pytest.UsageError(str(error)) from error
    os.environ["DATABASE_URL"] = services.database_url
    os.environ["REDIS_URL"] = services.redis_url


def _environment(folder: Path) -> dict[str, str]:
    """Return this run's settings, so that tests reach nothing that a developer's .env names."""
    return {
        "SECRET_KEY": secrets.token_hex(32),
        "INSTALLATION_KEY": secrets.token_hex(32),
        "PROJECT_DATABASE_URL": "",
        "SNAPSHOT_STORAGE": f"file://{folder / 'snapshots'}",
        "SNAPSHOT_COPY_STORAGE": "",
        "STATIC_ROOT": str(folder / "static"),
        "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
        "DEBUG": "0",
        "SECURE_COOKIES": "0",
        "SECURE_SSL_REDIRECT": "0",
        "SECURE_HSTS_SECONDS": "0",
        "SECURE_HSTS_INCLUDE_SUBDOMAINS": "0",
        "SECURE_HSTS_PRELOAD": "0",
        "BEHIND_PROXY": "0",
    }
