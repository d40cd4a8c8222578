"""Find the session or prepared transaction that holds a lock."""

from dataclasses import dataclass
from datetime import UTC, datetime

from backups_portal.lib import pgsession

# The strongest first: the more other modes it blocks, the likelier it is what somebody waits for.
MODES = [
    "AccessExclusiveLock",
    "ExclusiveLock",
    "ShareRowExclusiveLock",
    "ShareLock",
    "ShareUpdateExclusiveLock",
    "RowExclusiveLock",
    "RowShareLock",
    "AccessShareLock",
]
# The first ones lock whole tables against writes or any access; rows are locked under weaker ones.
OF_TABLES = 4
QUICKLY = {"statement_timeout": "5s", "lock_timeout": "1s"}
HOLDER = """
SELECT l.pid, coalesce(a.usename, p.owner)::text, coalesce(a.application_name, ''),
       coalesce(a.xact_start, p.prepared, a.backend_start), p.gid
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
LEFT JOIN pg_prepared_xacts AS p ON l.virtualtransaction = '-1/' || p.transaction::text
WHERE l.locktype = 'relation' AND l.mode = ANY(%(modes)s::text[])
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.relation IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
  AND l.pid IS DISTINCT FROM pg_backend_pid()
ORDER BY array_position(%(modes)s::text[], l.mode), l.granted DESC, 4 LIMIT 1"""
VISITOR = """
SELECT pid, usename::text, application_name, coalesce(xact_start, backend_start), NULL::text
FROM pg_stat_activity WHERE datname = %(database)s AND pid <> pg_backend_pid()
UNION ALL
SELECT a.pid, a.usename::text, a.application_name, coalesce(a.xact_start, backend_start), NULL::text
FROM pg_locks JOIN pg_stat_activity AS a USING (pid)
WHERE classid = 'pg_database'::regclass AND granted AND a.pid <> pg_backend_pid()
  AND objid = (SELECT oid FROM pg_database WHERE datname = %(database)s)
ORDER BY 4 LIMIT 1"""


@dataclass(frozen=True)
class Holder:
    """A session, or a prepared transaction, with a lock that others wait for.

    Attributes:
        pid: None for a prepared transaction.
        since: When its transaction began, or the session if the server does not track that;
            None if our role may not see it.
    """

    pid: int | None
    role: str | None
    application: str
    since: datetime | None
    prepared: str | None

    def __str__(self) -> str:
        who = f"process {self.pid}" if self.pid else f"the prepared transaction “{self.prepared}”"
        role = f" of role {self.role}" if self.role else ""
        application = f", application “{self.application}”" if self.application else ""
        since = f", since {self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        return f"{who}{role}{application}{since}"


def find_holder(dsn: str, *, of_rows: bool) -> Holder | None:
    """Find the session that most likely keeps others waiting in a database.

    This runs after a session gave up waiting, so pg_blocking_pids cannot help: it reports blockers
    only while the blocked session waits.

    Args:
        dsn: For full details, the URL of a role that may see other roles' sessions.
        of_rows: Include sessions that lock rows or merely use the tables, since an ALTER waits
            for these too.

    Raises:
        psycopg.Error: the server does not answer.
    """
    modes = MODES if of_rows else MODES[:OF_TABLES]
    return _first(dsn, HOLDER, modes=modes)


def find_visitor(dsn: str, database: str) -> Holder | None:
    """Find the session in a database, or changing it, that prevents a copy.

    Raises:
        psycopg.Error: the server does not answer.
    """
    return _first(dsn, VISITOR, database=database)


def _first(dsn: str, query: str, **values: object) -> Holder | None:
    with pgsession.connect(dsn, settings=QUICKLY) as connection:
        row = connection.execute(query.encode(), values).fetchone()
    return Holder(*row) if row else None
