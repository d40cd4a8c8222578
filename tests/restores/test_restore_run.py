"""A restore makes one project and one charge, or leaves nothing."""

import threading
import uuid
from datetime import timedelta

import psycopg
import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.billing.models import Charge
from backups_portal.projectdb.provisioning import create_database, drop_database
from backups_portal.projects.database_dsn import admin_dsn, project_dsn, server_url
from backups_portal.projects.models import Membership, Project
from backups_portal.projects.project_creation import installation
from restores.models import Restore
from restores.restore_requests import NewProject, request_restore, retry_restore
from restores.restore_run import run_restore
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import open_storage
from snapshots.integrity.catalogue_rebuild import rebuild_each
from snapshots.models import Snapshot
from tests.factories import make_account, make_membership
from tests.projectdatabases import Target, contents


def ask(snapshot: Snapshot, owner: Account, name: str = "Recovered") -> Restore:
    return request_restore(
        snapshot=snapshot,
        actor=owner,
        wanted=NewProject(
            name=name,
            accepted_charges=True,
        ),
    )


def run(restore: Restore) -> Restore:
    run_restore(restore.pk)
    return Restore.objects.select_related("project").get(pk=restore.pk)


def databases() -> set[str]:
    """Return the server's main databases, and their roles."""
    with psycopg.connect(settings.PROJECT_DATABASE_URL) as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE datname ~ '^bp_[0-9a-f]{8}$'"
            " UNION ALL SELECT rolname || ' role' FROM pg_roles"
            " WHERE rolname ~ '^bp_[0-9a-f]{8}(_checks)?$'"
        ).fetchall()
    return {str(name) for (name,) in rows}


def damage(snapshot: Snapshot, table: str) -> tuple[str, bytes]:
    """Flip a bit of a table's largest segment; return its key and original content."""
    storage = open_storage(settings.SNAPSHOT_STORAGE)
    manifest = Manifest.load(storage, snapshot.manifest)
    key = max(manifest.of(table), key=lambda segment: segment.rows).key
    good = storage.get(key)
    storage.put(key, good[:50] + bytes([good[50] ^ 1]) + good[51:])
    return key, good


def test_every_row_arrives_in_a_project_of_its_own(
    project: Project, snapshot: Snapshot, owner: Account
) -> None:
    restore = run(ask(snapshot, owner))
    assert restore.state == Restore.State.COMPLETED, restore.reason
    assert restore.step == Restore.Step.DONE
    made = restore.project
    assert made is not None
    assert made.name == "Recovered"
    assert made.prefix != project.prefix
    source = Target(project_dsn(project), project.prefix)
    assert contents(Target(project_dsn(made), made.prefix)) == contents(source)
    membership = Membership.objects.get(project=made)
    assert (membership.account, membership.role) == (owner, Membership.Role.OWNER)
    assert made.main_database.next_snapshot_at > timezone.now()
    assert AuditEvent.objects.filter(action="restore.completed", subject="Recovered").exists()


def test_the_new_project_says_where_it_came_from(
    project: Project, snapshot: Snapshot, owner: Account, client: Client
) -> None:
    made = run(ask(snapshot, owner)).project
    assert made is not None
    event = AuditEvent.objects.get(action="project.created", project_id=made.pk)
    assert event.account_id == owner.pk
    assert event.details["first_backup"] == made.main_database.next_snapshot_at.isoformat()
    client.force_login(owner)
    url = f"/projects/{made.slug}/activity/"
    assert f"Restored from: {project.name}" in client.get(url).content.decode()
    # Another owner of the new project need not know the old one.
    colleague = make_account()
    make_membership(made, colleague, role=Membership.Role.OWNER)
    client.force_login(colleague)
    page = client.get(url).content.decode()
    assert "Restored from: another project" in page
    assert project.name not in page


def test_the_creation_and_the_running_are_charged_once(
    project: Project, snapshot: Snapshot, owner: Account
) -> None:
    restore = run(ask(snapshot, owner))
    run_restore(restore.pk)
    assert restore.project is not None
    charges = Charge.objects.filter(project_id=restore.project.pk)
    assert sorted(charge.kind for charge in charges) == ["creation", "running"]
    assert {charge.unit_price for charge in charges} == {
        restore.creation_fee,
        restore.running_fee_per_hour,
    }
    assert Project.objects.count() == 2


def test_delivered_twice_at_once_it_makes_one_project(
    project: Project, snapshot: Snapshot, owner: Account
) -> None:
    restore = ask(snapshot, owner)
    before = databases()
    threads = [threading.Thread(target=run_and_close, args=[restore]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Project.objects.count() == 2
    assert Charge.objects.filter(kind="creation").count() == 2
    assert len(databases() - before) == 2, "one database and its role"


def test_a_server_without_space_is_a_reason_and_the_next_try_works(
    snapshot: Snapshot, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(*_: object) -> None:
        raise psycopg.errors.DiskFull('could not extend file "base/1/2": No space left on device')

    restore, before, charges = ask(snapshot, owner), databases(), Charge.objects.count()
    with monkeypatch.context() as fault:
        fault.setattr("restores.snapshot_loader._copy_variables", fill_up)
        failed = run(restore)
    assert failed.state == Restore.State.FAILED
    assert failed.reason == "The database server has no space left for the new project."
    assert (Project.objects.count(), databases()) == (1, before)
    assert Charge.objects.count() == charges
    retry_restore(restore=failed, actor=owner)
    assert run(failed).state == Restore.State.COMPLETED


def run_and_close(restore: Restore) -> None:
    from django.db import connection

    run_restore(restore.pk)
    connection.close()


def test_ids_and_tokens_are_new_and_resource_ids_stay(
    project: Project, snapshot: Snapshot, owner: Account
) -> None:
    made = run(ask(snapshot, owner)).project
    assert made is not None

    def column(of: Project, query: str) -> set[object]:
        with psycopg.connect(admin_dsn(of)) as connection:
            return {value for (value,) in connection.execute(query.encode())}

    ids = "SELECT id FROM variable_record"
    assert len(column(made, ids)) == 10
    assert not column(project, ids) & column(made, ids)
    assert column(project, "SELECT id FROM device") == column(made, "SELECT id FROM device")


def test_a_damaged_segment_fails_the_restore_and_leaves_nothing(
    project: Project, snapshot: Snapshot, owner: Account
) -> None:
    before = databases()
    key, good = damage(snapshot, "variable")
    restore = run(ask(snapshot, owner))
    assert restore.state == Restore.State.FAILED
    assert "changed in storage" in restore.reason
    assert Project.objects.count() == 1
    assert not Charge.objects.filter(project_name="Recovered").exists()
    assert databases() == before
    open_storage(settings.SNAPSHOT_STORAGE).put(key, good)
    again = run(retry_restore(restore=restore, actor=owner))
    assert again.state == Restore.State.COMPLETED
    assert Charge.objects.filter(project_name="Recovered").count() == 2


def test_a_worker_that_died_is_followed_by_one_that_starts_afresh(
    project: Project, snapshot: Snapshot, owner: Account
) -> None:
    """Its lease expired, and it left a database."""
    restore = ask(snapshot, owner)
    before = databases()
    create_database(
        settings.PROJECT_DATABASE_URL,
        prefix="0badf00d",
        password="x",
        project_name="half",
        installation=installation(),
    )
    Restore.objects.filter(pk=restore.pk).update(
        state=Restore.State.RUNNING,
        lease=uuid.uuid4(),
        lease_until=timezone.now() - timedelta(seconds=1),
        server=project.server,
        prefix="0badf00d",
        database="bp_0badf00d",
        attempts=1,
    )
    done = run(restore)
    assert done.state == Restore.State.COMPLETED
    assert done.project is not None
    name = done.project.database
    assert databases() - before == {name, f"{name} role"}


def test_a_worker_that_was_thought_dead_publishes_nothing(
    project: Project, snapshot: Snapshot, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    from restores import restore_run

    restore = ask(snapshot, owner)
    before = databases()

    def taken_over(*args: object, **kwargs: object) -> dict[str, object]:
        Restore.objects.filter(pk=restore.pk).update(lease=uuid.uuid4())
        return {}

    monkeypatch.setattr(restore_run, "_report", taken_over)
    run_restore(restore.pk)
    assert Project.objects.count() == 1
    assert databases() == before
    assert Restore.objects.get(pk=restore.pk).state == Restore.State.RUNNING


def test_after_too_many_lost_workers_it_is_given_up(
    project: Project, snapshot: Snapshot, owner: Account
) -> None:
    restore = ask(snapshot, owner)
    Restore.objects.filter(pk=restore.pk).update(attempts=3)
    failed = run(restore)
    assert failed.state == Restore.State.FAILED
    assert "interrupted" in failed.reason


def test_a_name_taken_meanwhile_fails_without_a_trace(
    project: Project, snapshot: Snapshot, owner: Account
) -> None:
    restore = ask(snapshot, owner)
    before = databases()
    Project.objects.filter(pk=project.pk).update(name="Recovered")
    failed = run(restore)
    assert failed.state == Restore.State.FAILED
    assert "already have a project" in failed.reason
    assert databases() == before


def test_the_source_is_not_written_to(project: Project, snapshot: Snapshot, owner: Account) -> None:
    def written() -> object:
        with psycopg.connect(admin_dsn(project)) as connection:
            return connection.execute(
                "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables"
            ).fetchone()

    source = Target(project_dsn(project), project.prefix)
    rows, before = contents(source), written()
    assert run(ask(snapshot, owner)).state == Restore.State.COMPLETED
    assert contents(source) == rows
    assert written() == before


def test_a_backup_brought_back_from_the_storage_is_restored(
    project: Project, snapshot: Snapshot
) -> None:
    source = Target(project_dsn(project), project.prefix)
    before = contents(source)
    server = project.server
    for model in (Snapshot, Charge, Project):
        model.objects.all().delete()
    other = make_account()
    list(rebuild_each(open_storage(settings.SNAPSHOT_STORAGE), other))

    restore = run(ask(Snapshot.objects.get(), other))

    assert restore.state == Restore.State.COMPLETED, restore.reason
    made = restore.project
    assert made is not None
    assert contents(Target(project_dsn(made), made.prefix)) == before
    drop_database(server_url(server), prefix=project.prefix)
