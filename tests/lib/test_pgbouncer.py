"""PgBouncer in front of the portal's own database, configured as in the manual."""

import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

from backups_portal.demo.ports import free_port
from backups_portal.demo.system_user import service_user
from tests.conftest import database_of_this_test

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


@pytest.fixture
def pooled(
    request: pytest.FixtureRequest, transactional_db: None, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """Return settings of a portal whose own database is behind PgBouncer."""
    if not Path(PGBOUNCER).exists():
        pytest.skip("PgBouncer is not here (Debian: apt-get install pgbouncer)")
    given = database_of_this_test()
    server = conninfo_to_dict(given["DATABASE_URL"])
    port = free_port()
    configuration = tmp_path / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\nportal = host={server['host']} port={server['port']} "
        f"dbname={server['dbname']} user={server['user']} password={server['password']}\n"
        f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\n"
        f"auth_type=any\npool_mode={request.param}\n"
    )
    user = service_user(tmp_path / "none")
    # PgBouncer refuses to run as root, but reads root's files first.
    becomes = ["--user", pwd.getpwuid(user.uid).pw_name] if user else []
    command = [PGBOUNCER, *becomes, str(configuration)]
    log = tmp_path / "pgbouncer.log"
    with log.open("wb") as stream:
        pooler = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
    url = f"postgresql://portal@127.0.0.1:{port}/portal"
    try:
        _wait_for(url, log)
        yield {**given, "DATABASE_URL": url}
    finally:
        pooler.terminate()
        pooler.wait()


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
