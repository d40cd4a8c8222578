"""Make and drop the databases of projects."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import Connection, sql

from backups_portal.lib import pgsession
from backups_portal.lib.failure_causes import Cause, driver_cause
from backups_portal.lib.scram import make_verifier
from backups_portal.projectdb.cluster_names import (
    GRANTS,
    INTERNAL_TABLES,
    LARGE_OBJECTS,
    LEDGER,
    SCHEMA,
    SHARED_GROUP,
    SHARED_TEMPLATE,
    TRACKING,
    group_of,
    group_role,
    template_name,
)
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.lock_holders import find_visitor
from backups_portal.projectdb.schema_version import SCHEMA_VERSION

# What templates are copied from if a superuser has made it (large_objects.sql).
BASE = "backups_portal_base"
# Whether a project's role can make large objects here.
OPEN_LARGE_OBJECTS = "SELECT has_function_privilege('public', 'lo_create(oid)', 'EXECUTE')"
# Through the log: the other way copies files, between two checkpoints that all writers wait for.
STRATEGY = "wal_log"
# Any number will do, as long as it is ours: "bp" in ASCII.
TEMPLATE_LOCK = 0x6270
# Of pairs, with a prefix: "bd".
DROP_LOCK = 0x6264


class ProvisioningError(Exception):
    """A database could not be made; the sentence is fit for a page."""

    def __init__(self, message: str, *, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True)
class Provisioned:
    """A new main database and the role that enters it."""

    database: str
    role: str
    password: str


def database_name(prefix: str) -> str:
    """Name the database, and the role, of the project with this prefix."""
    return f"bp_{prefix}"


def checks_role(prefix: str) -> str:
    """Name the role in which owners' checks look at this database; see check_role.py."""
    return f"{database_name(prefix)}_checks"


def on_server(url: str, *, connect_timeout: int = 10) -> Connection:
    """Connect to the server, for statements that refuse a transaction."""
    return pgsession.connect(url, autocommit=True, connect_timeout=connect_timeout)


def prepare_server(url: str, installation: str) -> None:
    """Make an installation's group role and template; safe to repeat and to race.

    Raises:
        psycopg.Error: the server cannot be reached or refuses.
    """
    with on_server(url) as connection:
        _prepare(connection, url, installation)


def _prepare(connection: Connection, url: str, installation: str) -> None:
    template = template_name(installation)
    if _exists(connection, template):
        return
    connection.execute("SELECT pg_advisory_lock(%s)", [TEMPLATE_LOCK])
    if not _exists(connection, template):
        ensure_group(connection, installation)
        _create_template(connection, url, template, group_role(installation))
    connection.execute("SELECT pg_advisory_unlock(%s)", [TEMPLATE_LOCK])


def _exists(connection: Connection, database: str) -> bool:
    query = "SELECT 1 FROM pg_database WHERE datname = %s"
    return connection.execute(query, [database]).fetchone() is not None


def ensure_group(connection: Connection, installation: str) -> None:
    """Make an installation's group role if the server lacks it."""
    group = group_role(installation)
    found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [group])
    if found.fetchone() is None:
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(group)))


def _create_template(connection: Connection, url: str, template: str, group: str) -> None:
    # Filled under another name and renamed, so that a half-made template is never used.
    draft = sql.Identifier(f"{template}_draft")
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(draft))
    base = sql.Identifier(BASE if _exists(connection, BASE) else "template0")
    connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(draft, base))
    with pgsession.connect(database_url(url, database=f"{template}_draft")) as inside:
        for file in (SCHEMA, TRACKING, LEDGER):
            inside.execute(file.read_bytes())
        grant_rights(inside, group)
        close_large_objects(inside)
    connection.execute(
        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(draft, sql.Identifier(template))
    )


def drop_older_templates(url: str, installation: str) -> list[str]:
    """Drop templates that no longer serve this installation; returns their names.

    One that an older version still uses is made again by it. The group that older versions shared
    goes as well, unless databases of another portal need it.

    Raises:
        psycopg.Error: the server cannot be reached.
    """
    dropped = []
    with on_server(url) as connection:
        rows = connection.execute(
            """SELECT datname FROM pg_database WHERE pg_has_role(datdba, 'MEMBER')
               AND datname <> %s AND (datname ~ %s OR datname ~ %s)""",
            [
                template_name(installation),
                SHARED_TEMPLATE,
                f"^bp_template_{installation}_[0-9a-f]{{10}}$",
            ],
        ).fetchall()
        for (name,) in rows:
            with suppress(psycopg.errors.ObjectInUse, psycopg.errors.LockNotAvailable):
                connection.execute(
                    sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(str(name)))
                )
                dropped.append(str(name))
        with suppress(
            psycopg.errors.DependentObjectsStillExist, psycopg.errors.InsufficientPrivilege
        ):
            connection.execute(
                sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(SHARED_GROUP))
            )
    return dropped


def grant_rights(inside: Connection, group: str) -> None:
    """Give projects' roles their rights in a main database, and no others.

    Args:
        group: The role that they are members of.
    """
    internal = sql.SQL(", ").join(map(sql.Identifier, INTERNAL_TABLES))
    for statement in GRANTS:
        inside.execute(sql.SQL(statement).format(role=sql.Identifier(group), internal=internal))


def close_large_objects(inside: Connection) -> None:
    """Keep projects from making large objects, if this role may say so."""
    if inside.execute("SHOW is_superuser").fetchone() == ("on",):
        inside.execute(LARGE_OBJECTS.read_bytes())


def ensure_ledger(inside: Connection) -> None:
    """Give a main database made by an older version the ledger of transfers.

    Args:
        inside: Opened by the role that made the database.
    """
    found = inside.execute("SELECT to_regclass('transfer_returned')").fetchone()
    if found is None or found[0] is None:
        with inside.transaction():
            inside.execute("SELECT pg_advisory_xact_lock(%s)", [TEMPLATE_LOCK])
            inside.execute(LEDGER.read_bytes())
            grant_rights(inside, group_of(inside))


def create_database(
    url: str, *, prefix: str, password: str, project_name: str, installation: str
) -> Provisioned:
    """Make a main database with a role that enters no other one.

    Args:
        url: The server, with a role that may create databases and roles.
        prefix: 8 hex digits that are no other project's.
        password: Of the new role.
        installation: Whose it is. Until it is settled (`settle_database`) that is written on the
            role together with the time, so that `unsettled` finds what its maker did not live to
            write down.

    Raises:
        ProvisioningError: the server cannot be reached, is full, or refuses.
    """
    name = database_name(prefix)
    template = template_name(installation)
    with _provisioning_errors(url, template):
        with on_server(url) as connection:
            _prepare(connection, url, installation)
            _close_to_the_public(connection)
            with connection.transaction():
                create_role(connection, name, password, group_role(installation))
                _comment(connection, name, f"{_mark(installation)}{datetime.now(UTC).isoformat()}")
            for statement in (
                "CREATE DATABASE {name} TEMPLATE {template} STRATEGY {strategy}",
                "REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC",
                "GRANT CONNECT ON DATABASE {name} TO {name}",
            ):
                connection.execute(
                    sql.SQL(statement).format(
                        name=sql.Identifier(name),
                        template=sql.Identifier(template),
                        strategy=sql.Identifier(STRATEGY),
                    )
                )
        with pgsession.connect(database_url(url, database=name)) as inside:
            inside.execute(
                "INSERT INTO instance (prefix, schema_version) VALUES (%s, %s)",
                [prefix, SCHEMA_VERSION],
            )
            inside.execute("INSERT INTO profile (name) VALUES (%s)", [project_name])
            inside.execute("INSERT INTO run_settings (name) VALUES (%s)", [project_name])
    return Provisioned(database=name, role=name, password=password)


@contextmanager
def _provisioning_errors(url: str, template: str) -> Iterator[None]:
    """Turn what the driver raises into a sentence for a page."""
    try:
        yield
    except pgsession.ServerTooOldError as error:
        raise ProvisioningError(str(error), cause=Cause.VERSION) from error
    except psycopg.errors.DiskFull as error:
        raise ProvisioningError(
            "The database server has no space left.", cause=Cause.NO_ROOM
        ) from error
    except (psycopg.errors.LockNotAvailable, psycopg.errors.ObjectInUse) as error:
        raise ProvisioningError(
            "The database server could not create the database: its template is in use"
            f"{_by_whom(url, template)}.",
            cause=Cause.LOCKED,
        ) from error
    except psycopg.Error as error:
        raise ProvisioningError(
            f"The database server could not create the database: {error}",
            cause=driver_cause(error),
        ) from error


def _by_whom(url: str, template: str) -> str:
    try:
        visitor = find_visitor(url, template)
    except psycopg.Error:
        return ""
    return f" by {visitor}" if visitor else ""


def create_role(connection: Connection, name: str, password: str, group: str) -> None:
    """Make a role that may enter what it is granted, with projects' rights.

    Args:
        group: The role that holds these rights.
        password: Of random bytes, and not one that somebody thought of: it is hashed once.
    """
    connection.execute(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
            sql.Identifier(name), sql.Literal(make_verifier(password)), sql.Identifier(group)
        )
    )


def settle_database(url: str, *, prefix: str) -> None:
    """Note that the database is in the catalogue: `unsettled` skips it then.

    Raises:
        psycopg.Error: the server cannot be reached or refuses.
    """
    with on_server(url) as connection:
        _comment(connection, database_name(prefix), None)


def unsettled(url: str, *, made_by: str, older_than: timedelta) -> list[str]:
    """List prefixes of databases or roles that were begun and not settled.

    Only what `made_by` began itself: another installation may use the same server.

    Raises:
        psycopg.Error: the server cannot be reached.
    """
    latest = datetime.now(UTC) - older_than
    with on_server(url) as connection:
        rows = connection.execute(
            """SELECT substr(rolname, 4), shobj_description(oid, 'pg_authid') FROM pg_roles
               WHERE rolname ~ '^bp_[0-9a-f]{8}$'
                 AND starts_with(shobj_description(oid, 'pg_authid'), %s)""",
            [_mark(made_by)],
        ).fetchall()
    begun = {
        str(prefix): datetime.fromisoformat(str(comment).removeprefix(_mark(made_by)))
        for prefix, comment in rows
    }
    return sorted(prefix for prefix, moment in begun.items() if moment < latest)


def _mark(made_by: str) -> str:
    return f"being made by {made_by} since "


def _comment(connection: Connection, role: str, text: str | None) -> None:
    connection.execute(
        sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(role), sql.Literal(text))
    )


def _close_to_the_public(connection: Connection) -> None:
    """Take PUBLIC's right to connect from every database that this role may change."""
    for name in _open_databases(connection):
        try:
            connection.execute(
                sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name))
            )
        except (psycopg.errors.InternalError_, psycopg.errors.InvalidCatalogName):
            # Another session has changed or dropped it at the same moment, mostly to the same end.
            # Of a row that two have changed, PostgreSQL says no more than that (XX000).
            if name in _open_databases(connection):
                raise


def _open_databases(connection: Connection) -> list[str]:
    rows = connection.execute(
        """SELECT datname FROM pg_database
           WHERE pg_has_role(datdba, 'MEMBER') AND datname <> 'template0'
             AND (datacl IS NULL OR EXISTS (
                 SELECT FROM aclexplode(datacl)
                 WHERE grantee = 0 AND privilege_type = 'CONNECT'))"""
    )
    return [str(name) for (name,) in rows]


def drop_database(url: str, *, prefix: str, on_dropped: Callable[[], None] = lambda: None) -> None:
    """Remove the database and the roles of a prefix, if there are any.

    Several may do it at once: who ends a proof, and a tick that has found its database.

    Args:
        on_dropped: Called when the database is gone and its role, by which sweeps find it, is not.

    Raises:
        psycopg.Error: the server cannot be reached or refuses.
    """
    name = sql.Identifier(database_name(prefix))
    with on_server(url) as connection:
        # Of two that drop a role at once, PostgreSQL tells one that it could not find its row.
        number = int.from_bytes(bytes.fromhex(prefix), signed=True)
        connection.execute("SELECT pg_advisory_lock(%s, %s)", [DROP_LOCK, number])
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        on_dropped()
        # The database's own role last: as long as it is there, sweeps find what else is left.
        checks = sql.Identifier(checks_role(prefix))
        for role in (checks, name):
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
