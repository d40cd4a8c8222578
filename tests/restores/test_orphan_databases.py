"""A database without a row is dropped; one that may still be needed stays."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.conf import settings
from psycopg import sql

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projectdb.provisioning import (
    create_database,
    drop_database,
    prepare_server,
    settle_database,
    unsettled,
)
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.projects.project_creation import create_instance, create_project, installation
from backups_portal.projects.servers import register_server
from restores.models import Restore
from restores.orphan_databases import drop_strays
from snapshots.models import Snapshot
from tests.factories import make_project_row, make_restore, make_snapshot
from tests.restores.conftest import SETTINGS
from tests.restores.test_restore_run import ask, databases, run

LONG_AGO = datetime.now(UTC) - timedelta(days=3)


@pytest.fixture
def server(transactional_db: None, nothing_left: None) -> DatabaseServer:
    """A server whose leftover databases are dropped."""
    return register_server("main", settings.PROJECT_DATABASE_URL)


def age(prefix: str, *, made_by: str | None = None) -> None:
    """Make it look days old."""
    text = f"being made by {made_by or installation()} since {LONG_AGO.isoformat()}"
    with psycopg.connect(settings.PROJECT_DATABASE_URL) as connection:
        connection.execute(
            sql.SQL("COMMENT ON ROLE {} IS {}").format(
                sql.Identifier(f"bp_{prefix}"), sql.Literal(text)
            )
        )


def made(server: DatabaseServer) -> str:
    """The prefix of a database whose maker was killed before its commit."""
    return create_instance(server=server, project_name="Lost", prefix=secrets.token_hex(4)).prefix


def is_there(prefix: str) -> bool:
    return databases() >= {f"bp_{prefix}", f"bp_{prefix} role"}


def test_what_no_row_names_goes_when_it_is_old(
    server: DatabaseServer, caplog: pytest.LogCaptureFixture
) -> None:
    young, old = made(server), made(server)
    age(old)
    assert drop_strays() == [f"bp_{old}"]
    assert is_there(young)
    assert not {name for name in databases() if old in name}
    event = AuditEvent.objects.get(action="database.stray_dropped")
    assert (event.subject, event.details) == (f"bp_{old}", {"server": "main"})
    assert f"dropped a database that no row names database=bp_{old} server=main" in caplog.text


@pytest.mark.parametrize("is_gone", [False, True])
def test_its_line_is_written_once_though_the_worker_was_killed(
    server: DatabaseServer, monkeypatch: pytest.MonkeyPatch, *, is_gone: bool
) -> None:
    """The worker is killed before or after the database is dropped."""
    prefix = made(server)
    age(prefix)

    def killed(url: str, *, prefix: str, on_dropped: Callable[[], None]) -> None:
        if is_gone:
            drop_database(url, prefix=prefix, on_dropped=on_dropped)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("restores.orphan_databases.drop_database", killed)
        with pytest.raises(KeyboardInterrupt):
            drop_strays()
    drop_strays()
    assert not {name for name in databases() if prefix in name}
    assert AuditEvent.objects.filter(action="database.stray_dropped").count() == 1


def test_one_that_cannot_be_dropped_keeps_no_other_and_has_no_line(server: DatabaseServer) -> None:
    """The server refuses to drop a template, which comes first."""
    held, free = sorted([made(server), made(server)])
    for prefix in (held, free):
        age(prefix)
    template = sql.SQL("ALTER DATABASE {} IS_TEMPLATE {}")
    name = sql.Identifier(f"bp_{held}")
    with psycopg.connect(settings.PROJECT_DATABASE_URL, autocommit=True) as connection:
        connection.execute(template.format(name, sql.SQL("true")))
        assert drop_strays() == [f"bp_{free}"]
        lines = AuditEvent.objects.filter(action="database.stray_dropped")
        assert list(lines.values_list("subject", flat=True)) == [f"bp_{free}"]
        connection.execute(template.format(name, sql.SQL("false")))
    assert drop_strays() == [f"bp_{held}"]
    assert lines.filter(subject=f"bp_{held}").count() == 1


def test_a_role_that_cannot_be_dropped_takes_no_second_line(server: DatabaseServer) -> None:
    prefix = made(server)
    age(prefix)
    role, name = sql.Identifier(f"bp_{prefix}"), f"bp_{prefix}"
    with psycopg.connect(settings.PROJECT_DATABASE_URL, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA in_the_way")
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA in_the_way TO {}").format(role))
        assert drop_strays() == []
        connection.execute("DROP SCHEMA in_the_way")
    assert drop_strays() == [name]
    assert AuditEvent.objects.filter(action="database.stray_dropped", subject=name).count() == 1


def test_a_role_whose_database_was_never_made_goes(server: DatabaseServer) -> None:
    prefix = secrets.token_hex(4)
    prepare_server(settings.PROJECT_DATABASE_URL, installation())
    with psycopg.connect(settings.PROJECT_DATABASE_URL) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(f"bp_{prefix}")))
    age(prefix)
    assert drop_strays() == [f"bp_{prefix}"]
    assert not {name for name in databases() if prefix in name}


@pytest.mark.parametrize("state", Project.State.values)
def test_a_projects_database_stays_and_is_settled(server: DatabaseServer, state: str) -> None:
    prefix = made(server)
    age(prefix)
    project = make_project_row(prefix=prefix, server=server)
    Project.objects.filter(pk=project.pk).update(state=state)
    assert drop_strays() == []
    assert is_there(prefix)
    assert (
        unsettled(settings.PROJECT_DATABASE_URL, made_by=installation(), older_than=timedelta(0))
        == []
    )


@pytest.mark.parametrize("state", Restore.State.values)
def test_that_of_a_restore_is_left_to_it(server: DatabaseServer, state: str) -> None:
    prefix = made(server)
    age(prefix)
    source = make_project_row()
    restore = make_restore(make_snapshot(source), requested_by=source.created_by)
    # Constraints of other fields do not matter here.
    fields = {"prefix": prefix, "reason": "x", "state": state}
    if state == Restore.State.COMPLETED:
        fields["project"] = make_project_row()
    Restore.objects.filter(pk=restore.pk).update(**fields)
    assert drop_strays() == []
    assert is_there(prefix)


def test_what_another_installation_began_or_nobody_says_stays(server: DatabaseServer) -> None:
    others, silent = made(server), secrets.token_hex(4)
    age(others, made_by="another")
    create_database(
        settings.PROJECT_DATABASE_URL,
        prefix=silent,
        password="secret",
        project_name="Old",
        installation=installation(),
    )
    settle_database(settings.PROJECT_DATABASE_URL, prefix=silent)
    assert drop_strays() == []
    assert is_there(others)
    assert is_there(silent)


def test_finished_projects_and_restores_are_settled_at_once(
    owner: Account, project: Project, snapshot: Snapshot
) -> None:
    assert run(ask(snapshot, owner)).project is not None
    create_project(name="Second", owner=owner, settings=SETTINGS)
    assert (
        unsettled(settings.PROJECT_DATABASE_URL, made_by=installation(), older_than=timedelta(0))
        == []
    )
