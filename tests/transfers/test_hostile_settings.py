"""From backup to API with database settings that break every careless program."""

import io
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.test import Client
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.projectdb.tokens import TokenGrant, create_token
from backups_portal.projects.database_dsn import keyring, project_dsn
from backups_portal.projects.models import Project
from backups_portal.tagoio_api import settings as api_settings
from backups_portal.tagoio_api.auth import project_lookup
from backups_portal.tagoio_api.auth.project_token_auth import pools
from backups_portal.transfers.csv_files.csv_import_export import export_csv, import_csv
from backups_portal.transfers.models import Transfer
from restores.models import Proof
from restores.proof_queue import queue_proof
from restores.proof_run import run_proof
from restores.snapshot_loader import Target
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import open_storage
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from tests.factories import make_snapshot
from tests.hostile import hostile
from tests.projectdatabases import KEYS, Backups, main_database, restore_into
from tests.restores.test_restore_run import ask, run
from tests.transfers.engine import add_device
from tests.transfers.projects import DEVICE, START, add_truck, make_project
from tests.transfers.test_transfer_run import move

CLEAN = (
    "-c TimeZone=UTC -c DateStyle=ISO -c extra_float_digits=3 -c search_path=public"
    " -c statement_timeout=0 -c lock_timeout=0 -c default_transaction_read_only=off"
    " -c idle_in_transaction_session_timeout=0 -c default_transaction_isolation=read\\ committed"
    " -c standard_conforming_strings=on -c array_nulls=on -c bytea_output=hex"
)
ROWS = [
    ("0.30000000000000004", None, "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z"),
    ("NULL", "ÿ € 漢 '\\' \\x41", "2026-03-01T00:01:00.000001Z", "infinity"),
    ("1e308", None, "9999-12-31T23:59:59.999999Z", "0044-03-15 12:00:00+00 BC"),
    # Read row by row, by the other driver.
    ("NULL", "a\x01b\x02c", "0001-01-01T00:00:00Z", "2026-03-01T00:00:00Z"),
]
RECORDS = """SELECT device_id::text, variable, number_value::text, text_value, v.group_key,
    v.location::text, v.metadata::text, v.time::text, v.created_at::text
    FROM variable v JOIN series s ON s.id = series_id JOIN device d ON d.id = device_id
    ORDER BY v.time, variable"""
STAMPS = """SELECT name, permission, expires_at::text, created_at::text,
    length(hash) FROM token WHERE name <> 'late' ORDER BY name"""


def sql_of(dsn: str, *queries: str) -> list[list[tuple[Any, ...]]]:
    """Return a database's rows, read by a session that sets everything explicitly."""
    with psycopg.connect(dsn, options=CLEAN, client_encoding="UTF8") as session:
        return [session.execute(query.encode()).fetchall() for query in queries]


def fill(dsn: str) -> None:
    with psycopg.connect(dsn, options=CLEAN, client_encoding="UTF8") as session:
        for number, (value, text, at, created) in enumerate(ROWS):
            series = session.execute(
                "INSERT INTO series (device_id, variable, type) VALUES (%s, %s, %s) RETURNING id",
                [DEVICE, f"v{number}", "string" if text else "number"],
            ).fetchone()
            assert series is not None
            session.execute(
                "INSERT INTO variable (series_id, time, created_at, number_value, text_value,"
                " group_key, location, metadata) VALUES (%s, %s, %s, %s, %s, 'g',"
                " point(0.1, 0.30000000000000004), %s)",
                [
                    *(series[0], at, created, None if value == "NULL" else value, text),
                    '{"a":[null,0.1]}',
                ],
            )


def add_token(project: Project, name: str, **stamps: str) -> str:
    with psycopg.connect(project_dsn(project), options=CLEAN) as session:
        token = create_token(
            session, TokenGrant("profile", name=name, permission="full"), keys=keyring()
        )
        for column, value in stamps.items():
            session.execute(
                f"UPDATE token SET {column} = %s WHERE name = %s".encode(), [value, name]
            )
    return token.value


@pytest.fixture
def source(backup: Project) -> Project:
    """A project with extreme values of every kind."""
    fill(project_dsn(backup))
    add_token(backup, "last", expires_at="9999-12-31T23:59:59Z")
    add_token(backup, "never", expires_at="infinity", created_at="0044-03-15 00:00:00+00 BC")
    add_token(backup, "far", expires_at="294246-01-01 00:00:00+00", created_at="-infinity")
    return backup


@pytest.fixture
def source_and_target(project_server: str) -> Iterator[tuple[Target, Target]]:
    """The same rows without a portal, and an empty database."""
    with main_database() as source, main_database() as target:
        add_device(source, DEVICE, "Truck")
        fill(source.dsn)
        with psycopg.connect(source.dsn, options=CLEAN) as session:
            token = {"kind": "profile", "name": "last", "permission": "full"}
            create_token(session, TokenGrant(**token), keys=KEYS)
            session.execute("UPDATE token SET expires_at = '9999-12-31T23:59:59Z'")
        yield source, target


def taken(snapshot: Snapshot) -> Snapshot:
    take(snapshot.pk)
    snapshot.refresh_from_db()
    assert snapshot.state == Snapshot.State.COMPLETED, snapshot.reason
    return snapshot


@pytest.fixture
def _slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make readers slower than the database's own limit for idle transactions."""
    reader = "snapshots.engine.instant_reader.Reader.rows"
    rows = __import__("snapshots.engine.instant_reader", fromlist=["Reader"]).Reader.rows

    def slowly(self: Any, table: Any, *args: Any, **options: Any) -> Any:
        if table.name == "variable":
            time.sleep(0.4)
        yield from rows(self, table, *args, **options)

    monkeypatch.setattr(reader, slowly)


@pytest.mark.usefixtures("_slow")
def test_backups_restores_and_transfers_are_as_ever(
    source: Project, owner: Account, storage_url: str
) -> None:
    before = sql_of(project_dsn(source), RECORDS, STAMPS)
    live = make_project(owner, "Live")
    with hostile(source.database, live.database):
        first = taken(make_snapshot(source, state=Snapshot.State.QUEUED))
        with psycopg.connect(project_dsn(source), options=CLEAN) as session:
            session.execute("UPDATE variable SET group_key = 'h' WHERE number_value IS NULL")
        before = sql_of(project_dsn(source), RECORDS, STAMPS)
        second = taken(make_snapshot(source, state=Snapshot.State.QUEUED, local_date=START.date()))
        assert (first.is_full, second.is_full) == (True, False)

        proof = queue_proof(second.pk)
        assert proof is not None
        run_proof(proof.pk)
        proof.refresh_from_db()
        assert proof.state == Proof.State.PASSED, proof.reason

        # A database is hostile while it is loaded and compared.
        manifest = Manifest.load(open_storage(storage_url), second.manifest)
        with main_database() as target, hostile(f"bp_{target.prefix}"):
            restore_into(target, manifest, open_storage(storage_url), keys=keyring())
            assert sql_of(target.dsn, RECORDS, STAMPS) == before

        restored = run(ask(second, owner)).project
        assert restored is not None
        assert sql_of(project_dsn(restored), RECORDS, STAMPS) == before
        with hostile(restored.database):
            transfer = move(restored, live, owner)
        assert transfer.state == Transfer.State.COMPLETED, transfer.reason
        assert transfer.summary["is_equal"] is True
        assert sql_of(project_dsn(live), RECORDS) == before[:1]


def test_csv_and_the_api_give_and_take_what_is_stored(
    source: Project, owner: Account, settings: Settings
) -> None:
    token = add_token(source, "late")
    other = make_project(owner, "Other")
    add_truck(other)
    client = Client()
    client.force_login(owner)
    with hostile(source.database, other.database):
        lines = "".join(export_csv(source, DEVICE, actor=owner))
        assert "0.30000000000000004" in lines
        assert "9999-12-31T23:59:59.999Z" in lines
        done = import_csv(other, DEVICE, io.BytesIO(lines.encode()), actor=owner)
        assert done.bad == 0
        again = "".join(export_csv(other, DEVICE, actor=owner))
        assert again == lines

        page = client.get(f"/projects/{source.slug}/api/?list=now")
        assert page.status_code == 200
        settings.ROOT_URLCONF = api_settings.ROOT_URLCONF
        settings.MIDDLEWARE = api_settings.MIDDLEWARE
        project_lookup.forget()
        try:
            device = Client().get(f"/device/{DEVICE}", headers={"token": token}).json()
            assert device["status"], device
            data = Client().get(f"/device/{DEVICE}/data?qty=100", headers={"token": token})
            values = [row["value"] for row in data.json()["result"]]
            assert 0.30000000000000004 in values
            assert ROWS[1][1] in values
        finally:
            pools().close()


@pytest.mark.parametrize(
    "setting",
    [
        "idle_in_transaction_session_timeout", "TimeZone", "DateStyle", "search_path",
        "client_encoding", "default_transaction_read_only",
    ],
)  # fmt: skip
@pytest.mark.usefixtures("_slow")
def test_each_setting_that_was_seen_to_break_a_backup(
    setting: str, source_and_target: tuple[Target, Target], storage_url: str
) -> None:
    source, target = source_and_target
    backups = Backups(source, open_storage(storage_url))
    with hostile(f"bp_{source.prefix}", f"bp_{target.prefix}", only=setting):
        manifest = backups.take()
        restore_into(target, manifest, backups.storage)
        found = [sql_of(database.dsn, RECORDS, STAMPS) for database in (source, target)]
    assert found[0] == found[1]
    assert len(found[0][0]) == len(ROWS)
