"""The role of owners' checks, which may only read a scratch database.

It exists while the checks run, can enter this one database, and can read the few columns that
checks need. Its name is derived from the database's prefix, so that dropping the database drops the
role as well (provisioning.py), whatever happened to the worker that made it.
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from psycopg import Connection, sql

from backups_portal.lib import pgsession
from backups_portal.lib.scram import make_verifier
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.named_statements import execute_named
from backups_portal.projectdb.provisioning import checks_role, database_name

# All that checks read.
READABLE = {
    "device": ("id", "name"),
    "series": ("id", "device_id", "variable", "type"),
    "variable": ("series_id", "time", "number_value"),
}
# Long enough for all checks; even if the role cannot be dropped, nobody can sign in later.
VALID_FOR = timedelta(minutes=10)
READ_ONLY = {
    "default_transaction_read_only": "on",
    # Nothing should write to the database, so a lock that is held will not be released soon.
    "lock_timeout": "5s",
    # Sorts and hashes stay small, because main databases share the server.
    "work_mem": "16MB",
    "max_parallel_workers_per_gather": "0",
}


@contextmanager
def check_session(url: str, *, prefix: str, statement_seconds: float) -> Iterator[Connection]:
    """Open a read-only session in a scratch database, with a temporary role.

    Args:
        url: The server, with the role that made the database.
        statement_seconds: The server's time limit for a statement.

    Raises:
        psycopg.Error: the server refuses, or is gone. If it is raised on leaving, the role may
            still exist; it is dropped with its database.
    """
    settings = {**READ_ONLY, "statement_timeout": f"{int(statement_seconds * 1000)}ms"}
    address = make_check_role(url, prefix=prefix, settings=settings)
    try:
        with pgsession.connect(address, autocommit=True, settings=settings) as session:
            yield session
    finally:
        drop_check_role(url, prefix=prefix)


def make_check_role(url: str, *, prefix: str, settings: Mapping[str, str]) -> str:
    """Make the role with its rights, all or nothing; return its URL.

    Args:
        settings: The role's default settings.

    Raises:
        psycopg.Error: the server refuses, or is gone.
    """
    names, password = _names(prefix), secrets.token_urlsafe(24)
    until = (datetime.now(UTC) + VALID_FOR).isoformat()
    with _inside(url, prefix) as connection, connection.transaction():
        execute_named(
            connection,
            "CREATE ROLE {role} LOGIN NOINHERIT CONNECTION LIMIT 1 PASSWORD {password}"
            " VALID UNTIL {until}",
            "GRANT CONNECT ON DATABASE {database} TO {role}",
            "GRANT USAGE ON SCHEMA public TO {role}",
            **names,
            password=sql.Literal(make_verifier(password)),
            until=sql.Literal(until),
        )
        for name, value in settings.items():
            # Set on the role too, so that they apply to any other session that it might open.
            statement = "ALTER ROLE {role} SET {name} TO {value}"
            execute_named(connection, statement, **names, name=name, value=sql.Literal(value))
        for table, columns in READABLE.items():
            listed = sql.SQL(", ").join(map(sql.Identifier, columns))
            statement = "GRANT SELECT ({columns}) ON {table} TO {role}"
            execute_named(connection, statement, **names, table=table, columns=listed)
    return database_url(url, database=names["database"], user=names["role"], password=password)


def drop_check_role(url: str, *, prefix: str) -> None:
    """Drop the role, and revoke its rights in the database, which stays.

    `DROP OWNED` would do both at once, but needs more rights than the maker of a role has.

    Raises:
        psycopg.Error: the server refuses, or is gone.
    """
    with _inside(url, prefix) as connection, connection.transaction():
        execute_named(
            connection,
            "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}",
            "REVOKE ALL ON SCHEMA public FROM {role}",
            "REVOKE ALL ON DATABASE {database} FROM {role}",
            "DROP ROLE {role}",
            **_names(prefix),
        )


def _names(prefix: str) -> dict[str, str]:
    return {"role": checks_role(prefix), "database": database_name(prefix)}


@contextmanager
def _inside(url: str, prefix: str) -> Iterator[Connection]:
    address = database_url(url, database=database_name(prefix))
    # Nothing else uses a scratch database, so waiting long for a lock there makes no sense.
    with pgsession.connect(address, autocommit=True, settings=pgsession.PAGE) as connection:
        yield connection
