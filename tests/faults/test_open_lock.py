"""A forgotten lock costs a minute, is named, and blocks no other work."""

import html
import io
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.lib.failure_causes import Cause
from backups_portal.projectdb import schema_upgrade
from backups_portal.projectdb.cluster_names import template_name
from backups_portal.projectdb.provisioning import drop_database
from backups_portal.projects.database_dsn import admin_dsn, project_dsn, server_url
from backups_portal.projects.models import Project
from backups_portal.projects.project_creation import installation
from backups_portal.transfers.csv_files import csv_job
from backups_portal.transfers.csv_files.csv_import_export import import_csv
from backups_portal.transfers.csv_files.csv_job import errors_path
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.transfers.models import CsvRequest, Transfer
from restores.models import Proof, Restore
from restores.proof_queue import queue_proof
from restores.proof_run import run_proof
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from tests.factories import make_snapshot
from tests.restores.test_restore_run import ask as ask_restore
from tests.restores.test_restore_run import run as run_restore
from tests.transfers.projects import DEVICE, add_readings, add_truck, make_project, run_csv
from tests.transfers.test_transfer_run import ask, run

pytestmark = pytest.mark.usefixtures("_impatient")


@pytest.fixture
def _impatient(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's address sets the lock timeout: less than a minute in a test."""
    server = settings.PROJECT_DATABASE_URL
    settings.PROJECT_DATABASE_URL = make_conninfo(server, options="-c lock_timeout=200ms")
    settings.RESTORE_RETRY_MINUTES = [1]
    settings.SNAPSHOT_RETRY_MINUTES = [0]
    monkeypatch.setattr(schema_upgrade, "LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr("backups_portal.lib.pgsession.PAGE", {"lock_timeout": "200ms"})


@pytest.fixture
def project(owner: Account, storage_url: str) -> Iterator[Project]:
    project = make_project(owner, "Cold Chain")
    add_truck(project)
    add_readings(project, 10)
    yield project
    for made in Project.objects.select_related("server"):
        drop_database(server_url(made.server), prefix=made.prefix)


@contextmanager
def left_open(project: Project, statement: str, *, admin: bool = False) -> Iterator[str]:
    """Hold a lock in an idle session; yield how a failure describes it."""
    dsn = admin_dsn(project) if admin else project_dsn(project)
    with psycopg.connect(dsn, application_name="psql of Ann") as session:
        session.execute(statement.encode())
        role = session.info.user
        yield f"process {session.info.backend_pid} of role {role}, application “psql of Ann”, since"
        session.rollback()


LOCK = "LOCK TABLE variable"


def test_a_backup_names_the_holder_and_is_tried_again(project: Project, owner: Account) -> None:
    other = make_project(owner, "Greenhouse")
    snapshot = make_snapshot(project, state=Snapshot.State.QUEUED)
    with left_open(project, LOCK) as holder:
        take(snapshot.pk)
        snapshot.refresh_from_db()
        assert (snapshot.state, snapshot.cause) == (Snapshot.State.QUEUED, Cause.LOCKED)
        assert snapshot.reason.startswith(
            "The main database could not be read: another session kept a table locked for too "
            f"long. The lock is held by {holder}"
        )
        beside = make_snapshot(other, state=Snapshot.State.QUEUED)
        take(beside.pk)
        beside.refresh_from_db()
        assert beside.state == Snapshot.State.COMPLETED
    take(snapshot.pk)
    snapshot.refresh_from_db()
    assert (snapshot.state, snapshot.reason) == (Snapshot.State.COMPLETED, "")


def test_a_lock_that_only_waits_is_named_too(project: Project) -> None:
    """A TRUNCATE that waits for a reader blocks all later sessions."""
    snapshot = make_snapshot(project, state=Snapshot.State.QUEUED)
    dsn = make_conninfo(project_dsn(project), options="-c lock_timeout=0")
    with left_open(project, "SELECT FROM variable"):
        waiting = PGconn.connect(dsn.encode())
        waiting_pid = waiting.backend_pid
        waiting.send_query(b"TRUNCATE variable")
        take(snapshot.pk)
        waiting.finish()
    snapshot.refresh_from_db()
    assert f"held by process {waiting_pid} of role {project.role}" in snapshot.reason


def test_a_transfer_goes_on_when_the_lock_has_gone(project: Project, owner: Account) -> None:
    target = make_project(owner, "Recovered")
    with left_open(project, LOCK) as holder:
        transfer = run(ask(project, target, owner))
        assert transfer.state == Transfer.State.QUEUED
        assert holder in transfer.reason
        again = transfer.lease_until
        assert again is not None
        assert run(transfer).state == Transfer.State.FAILED
    Transfer.objects.filter(pk=transfer.pk).update(state=Transfer.State.QUEUED, attempts=0)
    transfer = run(transfer)
    assert (transfer.state, transfer.reason) == (Transfer.State.READY, "")


def test_restores_and_proofs_wait_for_their_template(project: Project, owner: Account) -> None:
    snapshot = make_snapshot(project, state=Snapshot.State.QUEUED)
    take(snapshot.pk)
    snapshot.refresh_from_db()
    comment = f"COMMENT ON DATABASE {template_name(installation())} IS 'mine'"
    with left_open(project, comment, admin=True) as holder:
        restore = run_restore(ask_restore(snapshot, owner))
        assert (restore.state, restore.cause) == (Restore.State.QUEUED, Cause.LOCKED)
        assert f"its template is in use by {holder}" in restore.reason
        proof = queue_proof(snapshot.pk)
        assert proof is not None
        run_proof(proof.pk)
        proof.refresh_from_db()
        assert (proof.state, proof.cause) == (Proof.State.GIVEN_UP, Cause.LOCKED)
    Restore.objects.filter(pk=restore.pk).update(lease_until=None)
    assert run_restore(restore).state == Restore.State.COMPLETED


def test_csv_says_who_keeps_it_waiting(project: Project, owner: Account) -> None:
    file = io.BytesIO(b"variable,value\nt,1\n")
    with left_open(project, LOCK) as holder:
        with pytest.raises(TransferRefusedError) as refused:
            import_csv(project, DEVICE, file, actor=owner)
        assert holder in refused.value.message
        run_csv(project, "export", "out.csv")
        with psycopg.connect(project_dsn(project)) as connection:
            row = connection.execute(
                "SELECT convert_from(content, 'UTF8') FROM file WHERE path = %s",
                [errors_path("out.csv")],
            ).fetchone()
    assert row is not None
    assert holder in str(row[0])
    assert str(row[0]).startswith(f"{csv_job.LOCKED} {csv_job.TRIED_AGAIN}")
    waiting = CsvRequest.objects.get(path="out.csv")
    assert csv_job.run_csv(waiting.pk).failure == ""


def test_an_upgrade_goes_on_with_the_others(project: Project, owner: Account) -> None:
    other = make_project(owner, "Greenhouse")
    for made in (project, other):
        with psycopg.connect(admin_dsn(made)) as connection:
            connection.execute("DROP INDEX device_name")
    with left_open(project, "UPDATE device SET name = name") as holder:
        out = io.StringIO()
        with pytest.raises(CommandError) as failed:
            call_command("upgrade_databases", stdout=out)
        assert f"{other.slug}: added device_name" in out.getvalue()
        assert f"{project.slug}: its tables are locked. The lock is held by {holder}" in str(
            failed.value
        )
    call_command("upgrade_databases", stdout=out)
    assert f"{project.slug}: added device_name" in out.getvalue()


PAGES = [
    ("LOCK TABLE device", "/data/?list=now"),
    (LOCK, f"/data/{DEVICE}.csv"),
    ("LOCK TABLE token", "/tokens/?list=now"),
    ("LOCK TABLE token", "/tokens.csv"),
    ("LOCK TABLE token", "/api/?list=now"),
]


@pytest.mark.parametrize(("statement", "path"), PAGES)
def test_a_page_or_a_file_says_who_holds_what_it_would_show(
    project: Project, owner: Account, statement: str, path: str
) -> None:
    client = Client()
    client.force_login(owner)
    address = f"/projects/{project.slug}{path}"
    with left_open(project, statement) as holder:
        answer = client.get(address)
        assert answer.status_code == 503
        assert "has locked the project's data" in html.unescape(answer.text)
        assert holder in html.unescape(answer.text)
        assert "try again" in answer.text.lower()
    assert client.get(address).status_code == 200
    assert AuditEvent.objects.filter(action="data.exported").count() == (statement == LOCK)
