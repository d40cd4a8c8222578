"""Fixtures for every test: separate storage, static files without a build, a real worker."""

import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from unittest import mock
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from django.contrib.contenttypes.management import create_contenttypes
from django.core.cache import caches
from django.core.management import call_command
from django.db import connection
from django.db.models.signals import post_migrate
from django.test import override_settings
from hypothesis import HealthCheck
from hypothesis import settings as examples
from pytest_django import Settings

from backups_portal.celery import app
from tests import forced_sign_ins  # noqa: F401 - it listens
from tests.emptying import empty_by_row
from tests.forked_modules import ModuleProcess
from tests.processes import end_group
from tests.quick_hashing import hash_quickly

WORKER_SECONDS = 60.0
# An example's duration only shows how busy the machine is.
examples.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
examples.load_profile("untimed")


def pytest_configure() -> None:
    """Let Ctrl-C reach the commands that tests start.

    A shell makes what it runs in the background ignore it, and processes inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _hashing_is_quick() -> None:
    hash_quickly()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> None:
    """Create the database, and let flushing do nothing but empty tables.

    After each test that commits, Django fills tables that the portal does not read, which takes
    four times as long as emptying all of them.
    """
    post_migrate.disconnect(dispatch_uid="django.contrib.auth.management.create_permissions")
    post_migrate.disconnect(create_contenttypes)
    empty_by_row()


@pytest.fixture(scope="session", autouse=True)
def _databases_are_made_quickly() -> Iterator[None]:
    """In memory a checkpoint is free, and copying files takes a third of the time."""
    with mock.patch("backups_portal.projectdb.provisioning.STRATEGY", "file_copy"):
        yield


@pytest.fixture(scope="session", autouse=True)
def _settings_of_tests() -> Iterator[None]:
    """Set the defaults of tests."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    with override_settings(
        # URLs of static files without the manifest that a deployment builds. Each file is found
        # when requested; otherwise every test client would scan all of them.
        STORAGES={**django_settings.STORAGES, "staticfiles": plain},
        WHITENOISE_AUTOREFRESH=True,
        # Most tests run without a worker, and pages must not report that because a test takes long.
        WORKERS_SILENT_AFTER=timedelta(days=365),
        # Report a test's failure at once; tests of retries set waits.
        SNAPSHOT_RETRY_MINUTES=[],
        RESTORE_RETRY_MINUTES=[],
        # A dozen rows need no more, whatever the machine's cores; tests of the engine have two of
        # each, and workers in separate processes one per core.
        SNAPSHOT_READERS=1,
        RESTORE_LOADERS=1,
    ):
        yield


@pytest.fixture(scope="session")
def static_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Static files as `collectstatic` deploys them: hashed and compressed."""
    folder = tmp_path_factory.mktemp("static")
    deployed = {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}
    with override_settings(
        STORAGES={**django_settings.STORAGES, "staticfiles": deployed}, STATIC_ROOT=str(folder)
    ):
        call_command("collectstatic", interactive=False, verbosity=0)
    return folder


@pytest.fixture(autouse=True)
def _tries_of_other_tests_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reset the sign-in counters, which are in Redis and outlast a test."""
    monkeypatch.setattr("backups_portal.lib.limits.PREFIX", f"test:{uuid4()}")
    monkeypatch.setattr(caches["default"], "key_prefix", f"test:{uuid4()}")


@pytest.fixture(autouse=True)
def _rounds_of_other_tests_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reset the sweep's progress, which Redis keeps after a test."""
    monkeypatch.setattr("backups_portal.ops.sweep_state.KEY", f"test:{uuid4()}")
    monkeypatch.setattr("backups_portal.lib.liveness.SWEEP", f"test:{uuid4()}")


@pytest.fixture(autouse=True)
def _no_heartbeat_within_a_transaction(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other connection sees the rows of a test's open transaction, so a lease seems lost."""
    marker = request.node.get_closest_marker("django_db")
    is_seen = marker is not None and marker.kwargs.get("transaction", False)
    if not is_seen and "transactional_db" not in request.fixturenames:
        monkeypatch.setattr("backups_portal.lib.leased_job.BEAT_SECONDS", 3600.0)


@pytest.fixture
def storage_url(settings: Settings, tmp_path: Path) -> str:
    """A separate snapshot storage for this test."""
    settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'snapshots'}"
    return settings.SNAPSHOT_STORAGE


@pytest.fixture
def celery_worker(
    transactional_db: None, storage_url: str, tmp_path: Path
) -> Iterator[ModuleProcess]:
    """A real worker on the test database and this test's storage that answers a ping."""
    with running_worker(storage_url, tmp_path / "worker.log") as worker:
        yield worker


@contextmanager
def running_worker(
    storage_url: str,
    log: Path,
    *,
    application: str = "backups_portal",
    processes: int = 1,
    queues: str = "",
    purge: bool = True,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[ModuleProcess]:
    """Run a worker with more options.

    Args:
        queues: The only queues that it consumes.
    """
    if purge:
        app.control.purge()
    node = f"{log.stem}@{socket.gethostname()}"
    worker = ModuleProcess(
        [
            *("celery", "-A", application, "worker"),
            *(f"--concurrency={processes}", "--without-gossip", "--without-mingle"),
            *("--loglevel=INFO", f"--hostname={node}"),
            *([f"--queues={queues}"] if queues else []),
        ],
        log,
        {
            **os.environ,
            "SNAPSHOT_STORAGE": storage_url,
            # The checks import every page, which takes as long as the rest of the start.
            "CELERY_SKIP_CHECKS": "1",
            **database_of_this_test(),
            **environment,
        },
    )
    try:
        _wait_for(worker, log, node)
        yield worker
    finally:
        end_group(worker)


def database_of_this_test() -> dict[str, str]:
    """Return settings of a process that uses this process's test database."""
    server = os.environ["DATABASE_URL"]
    before, _, name = server.rpartition("/")
    query = name.partition("?")[1:]
    return {
        "DATABASE_URL": f"{before}/{connection.settings_dict['NAME']}{''.join(query)}",
        "PROJECT_DATABASE_URL": server,
    }


def _wait_for(worker: ModuleProcess, log: Path, node: str) -> None:
    deadline = time.monotonic() + WORKER_SECONDS
    while time.monotonic() < deadline and worker.poll() is None:
        if app.control.ping([node], timeout=0.5):
            return
    pytest.fail(f"the worker did not answer:\n{log.read_text()}")
