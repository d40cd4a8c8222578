"""PgBouncer in front of the portal's own database, as in the manual, and of a projects' server."""

import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

from backups_portal.demo.ports import free_port
from backups_portal.demo.system_user import service_user
from backups_portal.lib import pgsession
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.provisioning import database_name
from backups_portal.projects.servers import check_address
from tests.conftest import database_of_this_test
from tests.projectdatabases import main_database

PGBOUNCER = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
# A portal process's work with its own database, on two connections of one pool.
WORK = """
import sys
from threading import Thread
import django
django.setup()
from django.core.management import call_command
from django.db import connection, transaction
from backups_portal.accounts.models import Account
from backups_portal.lib.advisory_locks import session_lock, wait_for_lock

call_command("check", databases=["default"])
call_command("migrate", verbosity=0)
call_command("create_account", "pooled@example.com")
call_command("create_project", "Pooled", owner="pooled@example.com")
call_command("run_schedule")
with connection.cursor() as cursor:
    for name, value in (("TimeZone", "UTC"), ("extra_float_digits", "3")):
        cursor.execute(f"SHOW {name}")
        assert cursor.fetchone()[0] == value, name
# Read by a cursor of the server, beyond the one transaction.
assert [one.email for one in Account.objects.iterator(chunk_size=1)] == ["pooled@example.com"]

seen = []
def other():
    with session_lock(1) as is_ours:
        seen.append(is_ours)
    connection.close()
def ask_other():
    thread = Thread(target=other)
    thread.start()
    thread.join()
with session_lock(1) as is_ours, transaction.atomic():
    assert is_ours
    ask_other()
ask_other()
assert seen == [False, True], seen
wait_for_lock(1)
print("all of it")
"""


@contextmanager
def pooler(server: str, folder: Path, **options: str) -> Iterator[str]:
    """Run PgBouncer in front of a database's server; yield an address of the database.

    Args:
        options: Further settings of PgBouncer.
    """
    if not Path(PGBOUNCER).exists():
        pytest.skip("PgBouncer is not here (Debian: apt-get install pgbouncer)")
    found = conninfo_to_dict(server)
    port = free_port()
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\nportal = host={found['host']} port={found['port']} "
        f"dbname={found['dbname']} user={found['user']} password={found['password']}\n"
        f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\n"
        "auth_type=any\n" + "".join(f"{name}={value}\n" for name, value in options.items())
    )
    user = service_user(folder / "none")
    # PgBouncer refuses to run as root, but reads root's files first.
    becomes = ["--user", pwd.getpwuid(user.uid).pw_name] if user else []
    command = [PGBOUNCER, *becomes, str(configuration)]
    log = folder / "pgbouncer.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
    url = f"postgresql://portal@127.0.0.1:{port}/portal"
    try:
        _wait_for(url, log)
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def pooled(
    request: pytest.FixtureRequest, transactional_db: None, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """Return settings of a portal whose own database is behind PgBouncer."""
    given = database_of_this_test()
    with pooler(given["DATABASE_URL"], tmp_path, pool_mode=request.param) as url:
        yield {**given, "DATABASE_URL": url}


def _wait_for(url: str, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(log.read_text())


def run(program: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment, "DJANGO_SETTINGS_MODULE": "backups_portal.settings"},
        cwd=settings.BASE_DIR,
        input="a long enough passphrase\n",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("pooled", ["session"], indirect=True)
def test_the_portal_works_behind_a_pool_of_sessions(pooled: dict[str, str]) -> None:
    done = run(WORK, pooled)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("all of it\n")


@pytest.mark.parametrize("pooled", ["transaction"], indirect=True)
def test_a_pool_of_transactions_is_refused(pooled: dict[str, str]) -> None:
    done = run(WORK, pooled)
    assert done.returncode != 0
    assert "Set pool_mode = session in PgBouncer." in done.stderr


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "unsupported startup parameter: options"),
        ({"ignore_startup_parameters": "options"}, "the address has to lead to the server itself"),
    ],
)
def test_a_pooler_before_a_projects_server_is_refused(
    tmp_path: Path, options: dict[str, str], said: str
) -> None:
    """It would pass on none of the settings that a backup depends on."""
    with pooler(settings.PROJECT_DATABASE_URL, tmp_path, pool_mode="session", **options) as url:
        with pytest.raises(psycopg.Error, match=said):
            pgsession.connect(url)
        with pytest.raises(psycopg.Error, match=said):
            check_address("main", url)


def test_a_pooler_is_noticed_if_the_server_has_our_settings(tmp_path: Path) -> None:
    with main_database() as target:
        name = database_name(target.prefix)
        with psycopg.connect(settings.PROJECT_DATABASE_URL, autocommit=True) as server:
            for setting, value in pgsession.FIXED.items():
                if setting != "default_tablespace":
                    server.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'".encode())
        address = database_url(settings.PROJECT_DATABASE_URL, database=name)
        dropping = {"ignore_startup_parameters": "options"}
        with (
            pooler(address, tmp_path, pool_mode="session", **dropping) as url,
            pytest.raises(pgsession.PooledError, match="ignores settings of sessions"),
        ):
            pgsession.connect(url)
