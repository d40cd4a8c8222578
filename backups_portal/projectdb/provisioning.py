"""Make and drop the databases of projects."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import Connection, sql

from backups_portal.lib import pgsession
from backups_portal.lib.failure_causes import Cause, driver_cause, first_line
from backups_portal.lib.scram import make_verifier
from backups_portal.projectdb.cluster_names import (
    ENCODING,
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
from backups_portal.projectdb.named_statements import execute_named
from backups_portal.projectdb.schema_version import SCHEMA_VERSION

# The base of templates, if a superuser has made it (large_objects.sql).
BASE = "backups_portal_base"
# Whether a project's role can make large objects here.
OPEN_LARGE_OBJECTS = "SELECT has_function_privilege('public', 'lo_create(oid)', 'EXECUTE')"
# Copy through the WAL: the other strategy copies files between two checkpoints, which slow down all
# writers.
STRATEGY = "wal_log"
# The comment on a role begins with this until its database is settled.
_MARK = "being made by "
# The key of an advisory lock; any number of our own would do: "bp" in ASCII.
TEMPLATE_LOCK = 0x6270
# The first key of a pair, with a prefix as the second: "bd".
DROP_LOCK = 0x6264


class ProvisioningError(Exception):
    """A database could not be made; the sentence is fit for a page."""

    def __init__(self, message: str, *, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause


def database_name(prefix: str) -> str:
    """Name the database, and the role, of the project with this prefix."""
    return f"bp_{prefix}"


def checks_role(prefix: str) -> str:
    """Name the role of owners' checks in this database; see check_role.py."""
    return f"{database_name(prefix)}_checks"


def on_server(url: str, *, connect_timeout: int = 10) -> Connection:
    """Connect to the server, for statements that cannot run in a transaction."""
    return pgsession.connect(url, autocommit=True, connect_timeout=connect_timeout)


def prepare_server(url: str, installation: str) -> None:
    """Make an installation's group role and template; idempotent, race-safe.

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
        execute_named(connection, "CREATE ROLE {group} NOLOGIN", group=group)


def _create_template(connection: Connection, url: str, template: str, group: str) -> None:
    # Fill it under another name, then rename it, so that a half-made template is never used.
    draft = f"{template}_draft"
    execute_named(connection, "DROP DATABASE IF EXISTS {draft} WITH (FORCE)", draft=draft)
    _create_empty(connection, draft)
    with pgsession.connect(database_url(url, database=draft)) as inside:
        for file in (SCHEMA, TRACKING, LEDGER):
            inside.execute(file.read_bytes())
        grant_rights(inside, group)
        close_large_objects(inside)
    execute_named(
        connection, "ALTER DATABASE {draft} RENAME TO {template}", draft=draft, template=template
    )


def _create_empty(connection: Connection, name: str) -> None:
    create = "CREATE DATABASE {name} TEMPLATE {base} ENCODING {encoding}"
    base = BASE if _exists(connection, BASE) else "template0"
    encoding = sql.Literal(ENCODING)
    try:
        execute_named(connection, create, name=name, base=base, encoding=encoding)
    except psycopg.errors.InvalidParameterValue:
        # The server's locale may be one of a national encoding; this one has every encoding.
        create += " LC_COLLATE 'C' LC_CTYPE 'C'"
        execute_named(connection, create, name=name, base=base, encoding=encoding)


def drop_older_templates(url: str, installation: str) -> list[str]:
    """Drop templates that the installation has outgrown; return their names.

    An older version that still needs one makes it again. The group that older versions shared is
    dropped too, unless databases of another portal need it.

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
                execute_named(connection, "DROP DATABASE IF EXISTS {name}", name=str(name))
                dropped.append(str(name))
        with suppress(
            psycopg.errors.DependentObjectsStillExist, psycopg.errors.InsufficientPrivilege
        ):
            execute_named(connection, "DROP ROLE IF EXISTS {group}", group=SHARED_GROUP)
    return dropped


def grant_rights(inside: Connection, group: str) -> None:
    """Grant projects' roles their rights in a main database, and no others.

    Args:
        group: The group that these roles belong to.
    """
    internal = sql.SQL(", ").join(map(sql.Identifier, INTERNAL_TABLES))
    execute_named(inside, *GRANTS, role=group, internal=internal)


def close_large_objects(inside: Connection) -> None:
    """Keep projects from making large objects, if this role is a superuser."""
    if inside.execute("SHOW is_superuser").fetchone() == ("on",):
        inside.execute(LARGE_OBJECTS.read_bytes())


def ensure_ledger(inside: Connection) -> None:
    """Add the ledger of transfers to a main database of an older version.

    Args:
        inside: A connection of the role that made the database.
    """
    found = inside.execute("SELECT to_regclass('transfer_returned')").fetchone()
    if found is None or found[0] is None:
        with inside.transaction():
            inside.execute("SELECT pg_advisory_xact_lock(%s)", [TEMPLATE_LOCK])
            inside.execute(LEDGER.read_bytes())
            grant_rights(inside, group_of(inside))


def create_database(
    url: str, *, prefix: str, password: str, project_name: str, installation: str
) -> None:
    """Make a main database, and a role that can enter no other one.

    Args:
        url: The server, with a role that may create databases and roles.
        prefix: 8 hex digits that no other project has.
        password: The new role's password.
        installation: The id of the installation. Until the database is settled (`settle_database`),
            a comment on the role holds it with the time, so that `unsettled` finds databases whose
            maker was killed before it stored them.

    Raises:
        ProvisioningError: the server cannot be reached, is full, or refuses.
    """
    name = database_name(prefix)
    template = template_name(installation)
    with _provisioning_errors(url, template):
        with on_server(url) as connection:
            _prepare(connection, url, installation)
            _close_to_the_public(connection)
            create_role(connection, name, password, installation)
            execute_named(
                connection,
                "CREATE DATABASE {name} TEMPLATE {template} STRATEGY {strategy}",
                "REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC",
                "GRANT CONNECT ON DATABASE {name} TO {name}",
                name=name,
                template=template,
                strategy=STRATEGY,
            )
        with pgsession.connect(database_url(url, database=name)) as inside:
            inside.execute(
                "INSERT INTO instance (prefix, schema_version) VALUES (%s, %s)",
                [prefix, SCHEMA_VERSION],
            )
            inside.execute("INSERT INTO profile (name) VALUES (%s)", [project_name])
            inside.execute("INSERT INTO run_settings (name) VALUES (%s)", [project_name])


@contextmanager
def _provisioning_errors(url: str, template: str) -> Iterator[None]:
    """Turn errors of the driver into a sentence for a page."""
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
            f"The database server could not create the database: {first_line(error)}.",
            cause=driver_cause(error),
        ) from error


def _by_whom(url: str, template: str) -> str:
    try:
        visitor = find_visitor(url, template)
    except psycopg.Error:
        return ""
    return f" by {visitor}" if visitor else ""


def create_role(connection: Connection, name: str, password: str, installation: str) -> None:
    """Make a login role with projects' rights, marked as not settled yet.

    Args:
        password: Random bytes and not a password that a person chose, as it is hashed only once.
    """
    with connection.transaction():
        execute_named(
            connection,
            "CREATE ROLE {name} LOGIN PASSWORD {password} IN ROLE {group}",
            name=name,
            password=sql.Literal(make_verifier(password)),
            group=group_role(installation),
        )
        _comment(connection, name, f"{_mark(installation)}{datetime.now(UTC).isoformat()}")


def settle_database(url: str, *, prefix: str) -> None:
    """Mark a database as registered, so that `unsettled` skips it.

    Raises:
        psycopg.Error: the server cannot be reached or refuses.
    """
    with on_server(url) as connection:
        _comment(connection, database_name(prefix), None)


def is_settled(url: str, *, prefix: str) -> bool:
    """Tell whether a database was registered as a project's.

    The database of a build still has the mark of its maker, or has no role.

    Raises:
        psycopg.Error: the server cannot be reached.
    """
    with on_server(url) as connection:
        row = connection.execute(
            """SELECT coalesce(starts_with(shobj_description(oid, 'pg_authid'), %s), false)
               FROM pg_roles WHERE rolname = %s""",
            [_MARK, database_name(prefix)],
        ).fetchone()
    return row == (False,)


def unsettled(url: str, *, made_by: str, older_than: timedelta) -> list[str]:
    """List prefixes of databases or roles that were begun and not settled.

    Lists only those that `made_by` began: other installations may use the same server.

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
    return f"{_MARK}{made_by} since "


def _comment(connection: Connection, role: str, text: str | None) -> None:
    execute_named(connection, "COMMENT ON ROLE {role} IS {text}", role=role, text=sql.Literal(text))


def _close_to_the_public(connection: Connection) -> None:
    """Revoke PUBLIC's right to connect to every database of this role."""
    for name in _open_databases(connection):
        try:
            execute_named(connection, "REVOKE CONNECT ON DATABASE {name} FROM PUBLIC", name=name)
        except (psycopg.errors.InternalError_, psycopg.errors.InvalidCatalogName):
            # Another session changed or dropped it at the same moment, most likely for the same
            # purpose. PostgreSQL reports a row that two sessions changed as XX000 only.
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

    Several workers may do it at once, such as one that ends a proof and a tick that found its
    database.

    Args:
        on_dropped: Called once the database is gone, but before its role, by which sweeps find it.

    Raises:
        psycopg.Error: the server cannot be reached or refuses.
    """
    name = database_name(prefix)
    with on_server(url) as connection:
        # Without the lock, one of two sessions that drop a role at once gets an error.
        number = int.from_bytes(bytes.fromhex(prefix), signed=True)
        connection.execute("SELECT pg_advisory_lock(%s, %s)", [DROP_LOCK, number])
        execute_named(connection, "DROP DATABASE IF EXISTS {name} WITH (FORCE)", name=name)
        on_dropped()
        # Drop the database's own role last: while it exists, sweeps find what else is left.
        for role in (checks_role(prefix), name):
            execute_named(connection, "DROP ROLE IF EXISTS {role}", role=role)
