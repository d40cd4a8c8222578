"""Keep databases closed, with evidence that nothing has written to one.

A closed database accepts no connection, not even a superuser's, until somebody opens it again. The
server's own statistics show whether anybody did: they count the sessions ever begun in each
database, and the rows ever written to each table. Both counts survive a clean restart; a crash or a
manual reset starts them again, which changes the time of the last reset. So a database counts as
changed unless the contrary is proven. Autovacuum enters closed databases too and writes statistics
there, but begins no session and writes to none of our tables.
"""

import time
from dataclasses import asdict, dataclass

from psycopg import Connection
from psycopg.rows import dict_row

from backups_portal.projectdb.cluster_names import schema_name
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.named_statements import execute_named
from backups_portal.projectdb.provisioning import create_role, database_name, on_server

# Seconds that the last sessions of a database may take to end.
PATIENCE = 10.0


class SealBrokenError(Exception):
    """A kept database may have changed; the message says how, for the log."""


@dataclass(frozen=True)
class Seal:
    """Facts about a database that stay the same while it does not change.

    Attributes:
        oid: The database's oid: another database of the same name has another one.
        sessions: Client sessions ever begun in it (pg_stat_database).
        writes: Rows ever inserted, updated and deleted in its tables. This can only be read from
            inside, so `check_writes` compares it once the database is open.
        counted_since: When the statistics of the database and the server were last reset.
        schema: The name of its schema.
    """

    oid: int
    sessions: int
    writes: int
    counted_since: str
    schema: str


def close_database(url: str, *, prefix: str) -> Seal:
    """Close a database, drop its role, and record its state.

    Raises:
        psycopg.Error: the server cannot be reached or refuses.
        SealBrokenError: a session does not leave it.
    """
    with on_server(url) as connection:
        # A session reports its counts before it ends, so wait until all have.
        _wait_until_left(connection, prefix)
        with on_server(database_url(url, database=database_name(prefix))) as inside:
            writes = _count_writes(inside)
        execute_named(
            connection,
            "ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false",
            "REVOKE ALL ON DATABASE {name} FROM {name}",
            "DROP ROLE {name}",
            name=database_name(prefix),
        )
        _wait_until_left(connection, prefix)
        return _read_seal(connection, prefix, writes)


def check_seal(url: str, *, prefix: str, seal: Seal) -> None:
    """Make sure that a database has not changed since it was closed.

    Raises:
        SealBrokenError: it has changed, or cannot be shown not to have.
        psycopg.Error: the server cannot be reached.
    """
    with on_server(url, connect_timeout=3) as connection:
        _check(connection, prefix, seal)


def take_over_database(
    url: str, *, old: str, new: str, password: str, seal: Seal, installation: str
) -> None:
    """Rename a closed database, give it a role, and open it to that role.

    Raises:
        SealBrokenError: it has changed; this call has not touched it.
        psycopg.Error: the server cannot be reached or refuses; the database may have either name.
    """
    names = {"old": database_name(old), "new": database_name(new)}
    with on_server(url) as connection:
        _check(connection, old, seal)
        execute_named(connection, "ALTER DATABASE {old} RENAME TO {new}", **names)
        create_role(connection, names["new"], password, installation)
        execute_named(
            connection,
            "GRANT CONNECT ON DATABASE {new} TO {new}",
            "ALTER DATABASE {new} WITH ALLOW_CONNECTIONS true",
            **names,
        )


def _check(connection: Connection, prefix: str, seal: Seal) -> None:
    row = connection.execute(
        "SELECT datallowconn FROM pg_database WHERE datname = %s", [database_name(prefix)]
    ).fetchone()
    if row is None:
        raise SealBrokenError("it is gone")
    if row[0]:
        raise SealBrokenError("somebody opened it")
    if _is_entered(connection, prefix):
        raise SealBrokenError("a session is in it")
    found = _read_seal(connection, prefix, seal.writes)
    differences = [
        f"{name} was {value}, is {getattr(found, name)}"
        for name, value in asdict(seal).items()
        if getattr(found, name) != value
    ]
    if differences:
        raise SealBrokenError("; ".join(differences))


def check_writes(connection: Connection, seal: Seal) -> None:
    """Make sure from inside that no row was written since it was closed.

    Raises:
        SealBrokenError: some rows were.
    """
    found = _count_writes(connection)
    if found != seal.writes:
        raise SealBrokenError(f"rows written were {seal.writes}, are {found}")


def _count_writes(connection: Connection) -> int:
    row = connection.execute(
        "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint"
        " FROM pg_stat_user_tables"
    ).fetchone()
    return int(row[0]) if row else 0


def _read_seal(connection: Connection, prefix: str, writes: int) -> Seal:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            """SELECT datid::bigint AS oid, sessions,
                      concat(stats.stats_reset, '/', server.stats_reset) AS counted_since
               FROM pg_stat_database AS stats CROSS JOIN pg_stat_bgwriter AS server
               WHERE datname = %s""",
            [database_name(prefix)],
        ).fetchone()
    if row is None:
        raise SealBrokenError("it is gone")
    return Seal(**row, writes=writes, schema=schema_name())


def _is_entered(connection: Connection, prefix: str) -> bool:
    # Autovacuum changes no row.
    query = """SELECT 1 FROM pg_stat_activity
               WHERE datname = %s AND backend_type <> 'autovacuum worker' LIMIT 1"""
    return connection.execute(query, [database_name(prefix)]).fetchone() is not None


def _wait_until_left(connection: Connection, prefix: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while _is_entered(connection, prefix):
        if time.monotonic() > deadline:
            raise SealBrokenError("a session does not leave it")
        time.sleep(0.02)
