"""A warm restore takes over a proof's database unless anything could have changed it."""

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.tokens import TokenGrant, create_token, find_token
from backups_portal.projects.database_dsn import admin_dsn, keyring, project_dsn
from backups_portal.projects.models import DatabaseServer, MainDatabase, Project
from backups_portal.projects.servers import remove_server
from restores.models import Proof, Restore
from restores.orphan_databases import drop_leftovers, has_leftovers
from restores.proof_queue import queue_proof
from restores.proof_run import run_proof
from restores.warm_restores import kept_for, switch_warm_restore
from snapshots.models import Snapshot
from tests.projectdatabases import Target, contents
from tests.restores.test_restore_run import ask, databases, run


@pytest.fixture
def kept(project: Project, snapshot: Snapshot) -> Proof:
    """A proof of the snapshot whose database was kept."""
    switch_warm_restore(project, on=True)
    return prove(snapshot)


def prove(snapshot: Snapshot) -> Proof:
    proof = queue_proof(snapshot.pk)
    assert proof is not None
    run_proof(proof.pk)
    return Proof.objects.get(pk=proof.pk)


def on_server(statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(settings.PROJECT_DATABASE_URL, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def inside(proof: Proof, statement: str) -> None:
    """Change a kept database as a superuser who then covers the traces."""
    url = database_url(settings.PROJECT_DATABASE_URL, database=proof.database)
    on_server(f"ALTER DATABASE {proof.database} WITH ALLOW_CONNECTIONS true")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())
    on_server(f"ALTER DATABASE {proof.database} WITH ALLOW_CONNECTIONS false")


def test_without_being_asked_for_nothing_is_kept(project: Project, snapshot: Snapshot) -> None:
    before = databases()
    proof = prove(snapshot)
    assert (proof.state, proof.is_kept) == (Proof.State.PASSED, False)
    assert databases() == before


def test_what_is_kept_can_be_entered_by_nobody(kept: Proof) -> None:
    assert kept.is_kept, kept.reason
    url = database_url(settings.PROJECT_DATABASE_URL, database=kept.database)
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        psycopg.connect(url)
    assert f"{kept.database} role" not in databases()


def test_a_restore_takes_it_over_with_an_id_prefix_and_tokens_of_its_own(
    project: Project, snapshot: Snapshot, owner: Account
) -> None:
    with psycopg.connect(project_dsn(project)) as connection:
        token = create_token(connection, TokenGrant("profile", name="all"), keys=keyring())
    # Taken after the token was made, unlike the fixture's snapshot.
    snapshot = take_next(project)
    switch_warm_restore(project, on=True)
    kept = prove(snapshot)
    assert kept_for(snapshot) == kept
    restore = run(ask(snapshot, owner))
    assert (restore.state, restore.was_warm) == (Restore.State.COMPLETED, True), restore.reason
    made = restore.project
    assert made is not None
    assert made.prefix not in {project.prefix, kept.prefix}
    assert contents(Target(project_dsn(made), made.prefix)) == contents(
        Target(project_dsn(project), project.prefix)
    )
    with psycopg.connect(project_dsn(made)) as connection:
        ids = connection.execute("SELECT id FROM variable_record").fetchall()
        assert {str(value)[:8] for (value,) in ids} == {made.prefix}
        assert find_token(connection, token.value, keys=keyring()) is None
        (sealed,) = connection.execute("SELECT sealed_value FROM token").fetchone() or ()
        fresh = keyring().open(sealed, "token")
        assert fresh.startswith(f"p-{made.prefix}")
        assert find_token(connection, fresh, keys=keyring()) is not None
        origins = connection.execute("SELECT old_hash FROM token_origin").fetchall()
        assert [bytes(old) for (old,) in origins] == [token.hash]
    assert restore.report["table_rows"]["variable"] == 10
    gone = Proof.objects.get(pk=kept.pk)
    assert (gone.is_kept, gone.prefix) == (False, "")
    assert not any(kept.database in name for name in databases())


def take_next(project: Project) -> Snapshot:
    from snapshots.run.snapshot_run import take
    from tests.factories import make_snapshot

    queued = make_snapshot(project, state=Snapshot.State.QUEUED)
    take(queued.pk)
    queued.refresh_from_db()
    assert queued.state == Snapshot.State.COMPLETED, queued.reason
    return queued


def test_on_a_server_that_was_removed_it_is_neither_taken_over_nor_waited_for(
    kept: Proof, snapshot: Snapshot, owner: Account
) -> None:
    """Proofs go to the server with most room, which need not be the project's."""
    removed = DatabaseServer.objects.create(name="lost", is_open=False)
    Proof.objects.filter(pk=kept.pk).update(server=removed)
    remove_server("lost")
    assert kept_for(snapshot) is None
    restore = run(ask(snapshot, owner))
    assert (restore.state, restore.was_warm) == (Restore.State.COMPLETED, False), restore.reason
    assert drop_leftovers(timezone.now()) == [kept.database]
    assert not has_leftovers(timezone.now())


def test_it_is_taken_over_once(kept: Proof, snapshot: Snapshot, owner: Account) -> None:
    assert run(ask(snapshot, owner, "First")).was_warm
    second = run(ask(snapshot, owner, "Second"))
    assert (second.state, second.was_warm) == (Restore.State.COMPLETED, False)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO dashboard (id, label) VALUES (repeat('a', 24), 'not in the backup')",
        "DELETE FROM variable",
        "TRUNCATE variable",
        "SELECT 1",
    ],
)
def test_where_anybody_was_in_it_the_restore_is_cold(
    kept: Proof, project: Project, snapshot: Snapshot, owner: Account, statement: str
) -> None:
    inside(kept, statement)
    assert kept_for(snapshot) is None
    restore = run(ask(snapshot, owner))
    assert (restore.state, restore.was_warm) == (Restore.State.COMPLETED, False), restore.reason
    made = restore.project
    assert made is not None
    assert contents(Target(project_dsn(made), made.prefix)) == contents(
        Target(project_dsn(project), project.prefix)
    )
    with psycopg.connect(admin_dsn(made)) as connection:
        assert connection.execute("SELECT count(*) FROM dashboard").fetchone() == (0,)
    assert not any(kept.database in name for name in databases())


def broken_open(kept: Proof) -> None:
    on_server(f"ALTER DATABASE {kept.database} WITH ALLOW_CONNECTIONS true")


def broken_exchange(kept: Proof) -> None:
    on_server(f"DROP DATABASE {kept.database}")
    on_server(f"CREATE DATABASE {kept.database}")
    on_server(f"ALTER DATABASE {kept.database} WITH ALLOW_CONNECTIONS false")


def broken_gone(kept: Proof) -> None:
    on_server(f"DROP DATABASE {kept.database}")


def broken_counters(kept: Proof) -> None:
    Proof.objects.update(seal={**kept.seal, "counted_since": "/before the crash"})


def broken_writes(kept: Proof) -> None:
    Proof.objects.update(seal={**kept.seal, "writes": kept.seal["writes"] - 1})


def broken_schema(kept: Proof) -> None:
    Proof.objects.update(seal={**kept.seal, "schema": "bp_template_older"})


def test_rows_written_without_a_session_are_found_from_inside(
    kept: Proof, snapshot: Snapshot, owner: Account
) -> None:
    """An extension's background worker can do this."""
    broken_writes(kept)
    assert kept_for(snapshot) is not None
    before = databases() - {kept.database}
    restore = run(ask(snapshot, owner))
    assert (restore.state, restore.was_warm) == (Restore.State.COMPLETED, False), restore.reason
    assert len(databases() - before) == 2, "the new project's database and role"


def test_what_the_servers_own_cleaning_does_there_is_no_change(
    kept: Proof, snapshot: Snapshot, owner: Account
) -> None:
    """Autovacuum also analyses and freezes closed databases; here an uncounted session does."""
    inside(kept, "VACUUM (ANALYZE, FREEZE)")
    sessions = kept.seal["sessions"] + 1
    Proof.objects.update(seal={**kept.seal, "sessions": sessions})
    assert run(ask(snapshot, owner)).was_warm


@pytest.mark.parametrize(
    "break_it", [broken_open, broken_exchange, broken_gone, broken_counters, broken_schema]
)
def test_where_it_cannot_be_shown_to_be_unchanged_the_restore_is_cold(
    kept: Proof, snapshot: Snapshot, owner: Account, break_it: Callable[[Proof], None]
) -> None:
    break_it(kept)
    assert kept_for(snapshot) is None
    restore = run(ask(snapshot, owner))
    assert (restore.state, restore.was_warm) == (Restore.State.COMPLETED, False), restore.reason


def test_a_worker_killed_while_taking_over_leaves_nothing_and_the_next_is_cold(
    kept: Proof, snapshot: Snapshot, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = databases() - {kept.database}
    restore = ask(snapshot, owner)

    def killed(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("restores.warm_restores._make_new", killed)
        patch.setattr("restores.warm_restores._forget", lambda proof: None)
        with pytest.raises(KeyboardInterrupt):
            run(restore)
    later = timezone.now() + timedelta(hours=1)
    Restore.objects.filter(pk=restore.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    done = run(restore)
    assert (done.state, done.was_warm) == (Restore.State.COMPLETED, False), done.reason
    drop_leftovers(later)
    assert done.project is not None
    assert databases() - before == {done.project.database, f"{done.project.database} role"}


def test_the_next_proof_takes_its_place(kept: Proof, project: Project) -> None:
    following = prove(take_next(project))
    drop_leftovers(timezone.now())
    kept.refresh_from_db()
    assert (following.is_kept, kept.is_kept, kept.prefix) == (True, False, "")


@pytest.mark.parametrize("change", ["off", "policy", "shut down", "failed"])
def test_what_nobody_wants_is_dropped(
    kept: Proof, project: Project, snapshot: Snapshot, change: str
) -> None:
    if change == "off":
        switch_warm_restore(project, on=False)
    elif change == "policy":
        MainDatabase.objects.filter(pk=project.pk).update(proof_policy="off")
    elif change == "shut down":
        Project.objects.filter(pk=project.pk).update(state=Project.State.SHUT_DOWN)
    else:
        Snapshot.objects.filter(pk=snapshot.pk).update(verdict="failed", verdict_reason="because")
    assert drop_leftovers(timezone.now()) == [kept.database]
    assert kept.database not in databases()


class TestCommand:
    def test_it_switches_and_drops(self, kept: Proof, project: Project) -> None:
        out = StringIO()
        call_command("warm_restore", project.slug, "off", "--json", stdout=out)
        assert json.loads(out.getvalue()) == {
            "project": project.slug,
            "warm_restore": False,
            "dropped": [kept.database],
        }
        call_command("warm_restore", project.slug, "on", stdout=out)
        assert MainDatabase.objects.get(pk=project.pk).warm_restore
        assert AuditEvent.objects.filter(action="warm_restore.changed").count() == 3

    @pytest.mark.parametrize("state", [Project.State.SHUT_DOWN, Project.State.REMOVED])
    def test_nothing_is_kept_of_a_project_that_does_not_run(
        self, project: Project, state: str
    ) -> None:
        Project.objects.filter(pk=project.pk).update(state=state, shut_down_at=timezone.now())
        with pytest.raises(CommandError, match="does not run, so no proof is made"):
            call_command("warm_restore", project.slug, "on")
        assert not MainDatabase.objects.get(pk=project.pk).warm_restore
        call_command("warm_restore", project.slug, "off", stdout=StringIO())

    def test_without_proofs_there_is_nothing_to_keep(self, project: Project) -> None:
        MainDatabase.objects.filter(pk=project.pk).update(proof_policy="off")
        with pytest.raises(CommandError, match="Proof of backups"):
            call_command("warm_restore", project.slug, "on")
