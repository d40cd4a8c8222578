"""The role in which owners' checks look at a scratch database, and can do nothing else.

It lives as long as the checks run, enters this one database, and reads the few columns that checks
ask for. Its name follows from the prefix of its database, as that of the database's own role does:
whoever drops the database drops it as well (provisioning.py), whatever became of its maker.
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from psycopg import Connection, sql

from backups_portal.lib import pgsession
from backups_portal.lib.scram import make_verifier
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.provisioning import checks_role, database_name

# All that checks read.
READABLE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "device": ("id", "name"),
        "series": ("id", "device_id", "variable", "type"),
        "variable": ("series_id", "time", "number_value"),
    }
)
# Long enough for all checks; nobody signs in with it later, even if nobody can drop it.
VALID_FOR = timedelta(minutes=10)
READ_ONLY: Mapping[str, str] = MappingProxyType(
    {
        "default_transaction_read_only": "on",
        # Nobody writes to the database, so that whoever holds a lock does not let go soon.
        "lock_timeout": "5s",
        # What a check sorts or hashes stays small; a scratch database is beside main ones.
        "work_mem": "16MB",
        "max_parallel_workers_per_gather": "0",
    }
)


@contextmanager
def check_session(url: str, *, prefix: str, statement_seconds: float) -> Iterator[Connection]:
    """Open a session that may look at a scratch database; drop its role afterwards.

    Args:
        url: The server, with the role that made the database.
        statement_seconds: After so long the server itself ends a statement.

    Raises:
        psycopg.Error: the server refuses, or is gone. If it is raised on leaving, the role may
            still be there, and goes with its database.
    """
    settings = {**READ_ONLY, "statement_timeout": f"{int(statement_seconds * 1000)}ms"}
    address = make_check_role(url, prefix=prefix, settings=settings)
    try:
        with pgsession.connect(address, autocommit=True, settings=settings) as session:
            yield session
    finally:
        drop_check_role(url, prefix=prefix)


def make_check_role(url: str, *, prefix: str, settings: Mapping[str, str]) -> str:
    """Make the role with its rights, or nothing at all; return its address.

    Args:
        settings: Of its sessions, unless they say otherwise.

    Raises:
        psycopg.Error: the server refuses, or is gone.
    """
    names, password = _names(prefix), secrets.token_urlsafe(24)
    verifier = sql.Literal(make_verifier(password))
    until = (datetime.now(UTC) + VALID_FOR).isoformat()
    with _inside(url, prefix) as connection, connection.transaction():
        connection.execute(
            sql.SQL(
                "CREATE ROLE {role} LOGIN NOINHERIT CONNECTION LIMIT 1 PASSWORD {password}"
                " VALID UNTIL {until}"
            ).format(**names, password=verifier, until=sql.Literal(until))
        )
        for name, value in settings.items():
            # Whoever else might sign in with it is held to the same.
            connection.execute(
                sql.SQL("ALTER ROLE {role} SET {name} TO {value}").format(
                    **names, name=sql.Identifier(name), value=sql.Literal(value)
                )
            )
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {database} TO {role}").format(**names)
        )
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {role}").format(**names))
        for table, columns in READABLE.items():
            connection.execute(
                sql.SQL("GRANT SELECT ({columns}) ON {table} TO {role}").format(
                    **names,
                    columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
                    table=sql.Identifier(table),
                )
            )
    return database_url(
        url, database=database_name(prefix), user=checks_role(prefix), password=password
    )


def drop_check_role(url: str, *, prefix: str) -> None:
    """Drop the role, and take its rights from the database that stays.

    `DROP OWNED` would do both in a word, but takes more rights than the maker of a role has.

    Raises:
        psycopg.Error: the server refuses, or is gone.
    """
    names = _names(prefix)
    with _inside(url, prefix) as connection, connection.transaction():
        for statement in (
            "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}",
            "REVOKE ALL ON SCHEMA public FROM {role}",
            "REVOKE ALL ON DATABASE {database} FROM {role}",
            "DROP ROLE {role}",
        ):
            connection.execute(sql.SQL(statement).format(**names))


def _names(prefix: str) -> dict[str, sql.Identifier]:
    return {
        "role": sql.Identifier(checks_role(prefix)),
        "database": sql.Identifier(database_name(prefix)),
    }


@contextmanager
def _inside(url: str, prefix: str) -> Iterator[Connection]:
    address = database_url(url, database=database_name(prefix))
    # Nobody else is in a scratch database: a lock there is no reason to wait for.
    with pgsession.connect(address, autocommit=True, settings=pgsession.PAGE) as connection:
        yield connection
