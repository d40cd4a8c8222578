"""Each requested CSV file is written or read once, whatever happens to its worker."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection, transaction
from pytest_django import Settings

from backups_portal.audit.models import AuditEvent
from backups_portal.celery import app
from backups_portal.demo.ports import LOOPBACK
from backups_portal.projectdb.files import put_file
from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import Membership, Project
from backups_portal.tagoio_api import settings as api_settings
from backups_portal.transfers.models import CsvRequest
from backups_portal.transfers.tasks import run_csv
from tests.conftest import running_worker
from tests.faults.conftest import WORKER_ENVIRONMENT, SharedWorker
from tests.faults.laboratory import Laboratory, kill_all_of, until
from tests.faults.servers import ServerOfThisRun, answers
from tests.faults.serving import import_request, running_web
from tests.processes import kill_tree
from tests.projectdatabases import DEVICE
from tests.tagoio_api.conftest import Api, api_of

STEPS = ("publishing", "recording")
FILE = b"variable,value\n" + b"later,1\n" * 3


@pytest.fixture
def project(make_project: Callable[[str], Project], settings: Settings) -> Project:
    """A project with ten readings and a file of three to import, behind the projects' API."""
    settings.ROOT_URLCONF = api_settings.ROOT_URLCONF
    settings.MIDDLEWARE = api_settings.MIDDLEWARE
    project = make_project("Cold Chain")
    with psycopg.connect(project_dsn(project)) as database:
        put_file(database, path="in.csv", content=FILE)
    return project


@pytest.fixture
def api(project: Project) -> Api:
    return api_of(project)


@pytest.fixture
def _unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the test and the tick send messages."""
    monkeypatch.setattr("backups_portal.tagoio_api.routes.csv_files.send_on_commit", lambda *_: 0)


def ask_import(api: Api) -> CsvRequest:
    """Request an import as a client, of rows that a second import would store again."""
    body = {"file_address": "in.csv", "duplicates": True}
    api.post(f"/device/{DEVICE}/data/restore", body)
    return CsvRequest.objects.latest("created_at")


def ask_export(api: Api) -> CsvRequest:
    api.post(f"/device/{DEVICE}/data/backup", {"file_address": "out.csv"})
    return CsvRequest.objects.latest("created_at")


def none_left() -> bool:
    return not CsvRequest.objects.exists()


def imported(project: Project) -> int:
    return count(project, "SELECT count(*) FROM variable_record WHERE variable = 'later'")


def exported(project: Project) -> int:
    """Count the lines of the exported file."""
    lines = "regexp_count(convert_from(content, 'UTF8'), '\n')"
    return count(project, f"SELECT sum({lines}) FROM file WHERE path = 'out.csv'")


def count(project: Project, statement: str) -> int:
    with psycopg.connect(project_dsn(project)) as database:
        row = database.execute(statement.encode()).fetchone()
    return int(row[0] or 0) if row else 0


def recorded(action: str) -> int:
    return AuditEvent.objects.filter(action=action).count()


def test_the_message_is_lost(project: Project, api: Api, storage_url: str, tmp_path: Path) -> None:
    app.control.purge()
    ask_import(api)
    assert app.control.purge() == 1
    with running_worker(storage_url, tmp_path / "worker.log", environment=WORKER_ENVIRONMENT):
        until(none_left)
        assert (imported(project), recorded("data.imported")) == (3, 1)


@pytest.mark.usefixtures("worker", "_unsent")
@pytest.mark.parametrize("step", STEPS)
def test_its_worker_is_killed(
    project: Project, api: Api, laboratory: Laboratory, step: str
) -> None:
    requests = ask_import(api), ask_export(api)
    for request in requests:
        laboratory.kill_at(request.pk, step)
        run_csv.delay(str(request.pk))
    until(lambda: none_left() and not laboratory.unreached())
    # The ten rows and, if the import came first, its three.
    assert (imported(project), exported(project) in (11, 14)) == (3, True)
    assert (recorded("data.imported"), recorded("data.exported")) == (1, 1)


@pytest.mark.usefixtures("_unsent")
def test_its_worker_is_killed_with_all_its_processes(
    project: Project, api: Api, laboratory: Laboratory, storage_url: str, tmp_path: Path
) -> None:
    """No process returns the message, and Redis waits for an hour: the lease has to expire."""
    request = ask_import(api)
    held = laboratory.hold_at(request.pk, "publishing")
    environment = {**WORKER_ENVIRONMENT, "FAULTS": str(laboratory.folder)}
    with running_worker(
        storage_url,
        tmp_path / "first.log",
        application="tests.faults.faulty",
        environment=environment,
    ) as worker:
        run_csv.delay(str(request.pk))
        held.wait()
        kill_all_of(worker)
    assert (imported(project), CsvRequest.objects.get().attempts) == (0, 1)
    with running_worker(
        storage_url, tmp_path / "second.log", purge=False, environment=WORKER_ENVIRONMENT
    ):
        until(none_left)
        assert (imported(project), recorded("data.imported")) == (3, 1)


@pytest.mark.usefixtures("_unsent")
def test_redis_thinks_its_worker_dead(
    project: Project, api: Api, laboratory: Laboratory, storage_url: str, tmp_path: Path
) -> None:
    request = ask_import(api)
    held, log = laboratory.hold_at(request.pk, "publishing"), tmp_path / "worker.log"
    environment = {
        **WORKER_ENVIRONMENT,
        "FAULTS": str(laboratory.folder),
        "VISIBILITY_SECONDS": "2",
    }
    with running_worker(
        storage_url,
        log,
        application="tests.faults.faulty",
        processes=2,
        environment=environment,
    ):
        run_csv.delay(str(request.pk))
        held.wait()
        refused = f"csv is done, waits, or is another worker's csv={request.pk}"
        until(lambda: refused in log.read_text(), ticking=False)
        assert CsvRequest.objects.get().attempts == 1
        held.let_go()
        until(none_left, ticking=False)
        assert (imported(project), recorded("data.imported")) == (3, 1)


def test_a_web_server_is_killed_in_the_middle_of_an_import(
    make_project: Callable[[str], Project], storage_url: str, tmp_path: Path
) -> None:
    """An owner who imports on the page waits for the answer, and clicks again without one."""
    project = make_project("Cold Chain")
    request = b"".join(import_request(project, DEVICE, FILE))
    with (
        running_web(storage_url, tmp_path / "web.log") as (web, port),
        transaction.atomic(),
        press(port, request),
    ):
        # Locked after the last row is written and before the commit.
        list(Membership.objects.select_for_update())
        until(is_waited_for, ticking=False)
        kill_tree(web.pid)
    assert (imported(project), recorded("data.imported")) == (0, 0)
    with running_web(storage_url, tmp_path / "web.log") as (_, port), press(port, request) as sent:
        assert "3 rows were imported." in sent.makefile().read()
    assert (imported(project), recorded("data.imported")) == (3, 1)


@contextmanager
def press(port: int, request: bytes) -> Iterator[socket.socket]:
    with socket.create_connection((LOOPBACK, port), timeout=60) as sent:
        sent.sendall(request)
        yield sent


def is_waited_for() -> bool:
    """Return whether a session waits for a lock of this transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))")
        return cursor.fetchone() is not None


@pytest.mark.usefixtures("worker", "_unsent")
@pytest.mark.parametrize("step", STEPS)
def test_postgres_is_killed(
    project: Project, api: Api, laboratory: Laboratory, shared_worker: SharedWorker, step: str
) -> None:
    """The portal's own database and the project's stop: nothing can be recorded."""
    request = ask_import(api)
    held = laboratory.hold_at(request.pk, step)
    run_csv.delay(str(request.pk))
    held.wait()
    server = ServerOfThisRun()
    # Otherwise the tests' server does not wait for its disk.
    with psycopg.connect(settings.PROJECT_DATABASE_URL) as database:
        database.execute("SET synchronous_commit TO on; CREATE TEMP TABLE any_change ()")
    server.kill()
    held.let_go()
    assert not answers()
    server.start()
    until(none_left)
    assert (imported(project), recorded("data.imported")) == (3, 1)
    # Other tests must not inherit this worker's state.
    shared_worker.end()
