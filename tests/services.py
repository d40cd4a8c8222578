"""Starts PostgreSQL and Redis once per test run, before Django's settings are read.

A plugin of pytest (see `addopts`): a conftest would be read after the settings.
"""

import atexit
import os
import secrets
import shutil
import tempfile
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from backups_portal.demo.embedded import running
from backups_portal.demo.errors import DemoError
from backups_portal.demo.folder import opened


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    """Set what the settings need, before pytest-django reads them."""
    options = early_config.known_args_namespace
    folder = Path(tempfile.mkdtemp(prefix="backups-portal-tests-"))
    (folder / "static").mkdir()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ.update(_environment(folder))
    if options.help or options.version:
        os.environ.setdefault("DATABASE_URL", "postgresql://nobody@127.0.0.1/none")
        os.environ.setdefault("REDIS_URL", "redis://127.0.0.1/0")
    else:
        _start(folder)
    return (yield)


def _start(folder: Path) -> None:
    # Ended at exit and not by a hook of pytest's, so that a run that breaks off ends them as well.
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
            )
        )
    except DemoError as error:
        raise pytest.UsageError(str(error)) from error
    os.environ["DATABASE_URL"] = services.database_url
    os.environ["REDIS_URL"] = services.redis_url


def _environment(folder: Path) -> dict[str, str]:
    """Settings of this run: whatever a developer's .env says, tests reach nothing of theirs."""
    return {
        "SECRET_KEY": secrets.token_hex(32),
        "INSTALLATION_KEY": secrets.token_hex(32),
        "PROJECT_DATABASE_URL": "",
        "SNAPSHOT_STORAGE": f"file://{folder / 'snapshots'}",
        "STATIC_ROOT": str(folder / "static"),
        "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
        "DEBUG": "0",
        "SECURE_COOKIES": "0",
        "SECURE_SSL_REDIRECT": "0",
        "SECURE_HSTS_SECONDS": "0",
        "BEHIND_PROXY": "0",
    }
