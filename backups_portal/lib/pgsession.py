"""PostgreSQL sessions that set everything their results depend on.

Servers, databases and roles may have settings (`ALTER DATABASE … SET`) made for other programs.
Like pg_dump, our sessions override all that affect a query's result or whether it ends:
https://www.postgresql.org/docs/18/runtime-config-client.html.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.datetime import TimestamptzLoader

# Every supported server knows these; a server refuses a connection with an unknown name.
FIXED: Mapping[str, str] = MappingProxyType(
    {
        "TimeZone": "UTC",
        "DateStyle": "ISO, YMD",
        "IntervalStyle": "postgres",
        "client_encoding": "UTF8",
        "extra_float_digits": "3",
        "bytea_output": "hex",
        "array_nulls": "on",
        "transform_null_equals": "off",
        "standard_conforming_strings": "on",
        "quote_all_identifiers": "off",
        "row_security": "off",
        # A scan that joins another one midway returns rows in a different order each time.
        "synchronize_seqscans": "off",
        "gin_fuzzy_search_limit": "0",
        # A restore drops indexes and rebuilds them in the default tablespace.
        "default_tablespace": "",
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
        "default_transaction_deferrable": "off",
    }
)
# A setting of our own, which no server, database or role has: a pooler that drops it drops all.
WITNESS = "backups_portal.session"
WITNESSED: Mapping[str, str] = MappingProxyType({WITNESS: "settled"})
# Not for the portal's own database, whose operator chooses the schema.
SCHEMA: Mapping[str, str] = MappingProxyType({"search_path": "public"})
# Timeouts, which the operator can override in the address.
LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "idle_session_timeout": "0",
        # The server ends the session of a machine that vanished, and its locks with it: by default
        # only after two hours.
        "tcp_keepalives_idle": "60",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "6",
    }
)
# If another session holds a lock for longer, it is reported and the work retried later.
LOCK_LIMIT: Mapping[str, str] = MappingProxyType({"lock_timeout": "60s"})
# A visitor looks at an empty page meanwhile.
PAGE: Mapping[str, str] = MappingProxyType({"lock_timeout": "5s"})
# JIT compilation never pays off here: statements that read much have few expressions.
NO_COMPILING: Mapping[str, str] = MappingProxyType({"jit": "off"})

# The oldest major version with all the features that schemas and queries use.
OLDEST = 15
SINCE_17 = 170_000

CONNECT_SECONDS = 10
APPLICATION = "backups-portal"


class ServerTooOldError(psycopg.NotSupportedError):
    """The server's version is older than the portal supports."""


class PooledError(psycopg.NotSupportedError):
    """A pooler in front of the server dropped the settings of our session."""


class NearestMomentLoader(TimestamptzLoader):
    """Loads a timestamp, or the nearest one that Python can represent.

    For display and comparison; data that is stored again takes another path.
    """

    def load(self, data: Buffer) -> datetime:
        """Return the time in UTC, clamped to the years 1 to 9999."""
        text = str(data, "ascii")
        try:
            return datetime.fromisoformat(text).astimezone(UTC)
        except ValueError:
            is_early = text.startswith("-") or text.endswith("BC")
            return (datetime.min if is_early else datetime.max).replace(tzinfo=UTC)


def session_dsn(
    dsn: str,
    *,
    settings: Mapping[str, str] = MappingProxyType({}),
    patience: int = CONNECT_SECONDS,
    **parameters: Any,
) -> str:
    """Add our settings to an address, for psycopg and other libpq clients.

    A caller that connects with it must execute `later_statements` first.

    Args:
        dsn: A URL or conninfo string; its own options are kept, and override our timeouts.
        settings: Further settings of this session, which override all others.
        patience: Seconds until connecting times out, unless the address has a connect_timeout.
        parameters: libpq parameters that override the address.

    Raises:
        psycopg.ProgrammingError: `dsn` is neither.
    """
    found = conninfo_to_dict(dsn)
    own = str(found.get("options") or os.environ.get("PGOPTIONS", ""))
    before = _options({**LIMITS, **LOCK_LIMIT, **NO_COMPILING})
    after = _options({**FIXED, **SCHEMA, **WITNESSED, **settings})
    defaults: dict[str, Any] = {
        "connect_timeout": patience,
        "fallback_application_name": APPLICATION,
    }
    return make_conninfo(
        **{
            **defaults,
            **found,
            **parameters,
            "client_encoding": "UTF8",
            "options": " ".join(part for part in (before, own, after) if part),
        }
    )


def connect(
    dsn: str,
    *,
    autocommit: bool = False,
    settings: Mapping[str, str] = MappingProxyType({}),
    **parameters: Any,
) -> psycopg.Connection[tuple[Any, ...]]:
    """Open a session with our settings on a project's database or its server.

    Args: as `session_dsn`.

    Raises:
        ServerTooOldError: the server is older than `OLDEST`.
        PooledError: the address leads to a pooler.
        psycopg.Error: the server cannot be reached or refuses.
    """
    address = session_dsn(dsn, settings=settings, **parameters)
    connection = psycopg.connect(address, autocommit=True)
    try:
        require_supported(connection.info.server_version)
        _settle(connection)
        connection.adapters.register_loader("timestamptz", NearestMomentLoader)
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection


def _settle(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Execute the later settings, and check that the earlier ones arrived.

    One message does both. PgBouncer refuses startup options, or drops them if its administrator
    told it to (`ignore_startup_parameters`).
    """
    statements = [*later_statements(connection.info.server_version), f"SHOW {WITNESS}"]
    try:
        connection.execute(";".join(statements).encode())
    except psycopg.errors.UndefinedObject as error:
        raise PooledError(
            "A pooler in front of the server ignores settings of sessions: the address has to lead "
            "to the server itself."
        ) from error


def require_supported(server_version: int) -> None:
    """Refuse a server that is too old.

    Args:
        server_version: As libpq has it: 140009 for 14.9.

    Raises:
        ServerTooOldError: it is; the message is fit for a page.
    """
    major, minor = divmod(server_version, 10_000)
    if major < OLDEST:
        raise ServerTooOldError(
            f"PostgreSQL {major}.{minor} is too old: Backups Portal needs {OLDEST} or newer."
        )


def later_statements(server_version: int) -> list[str]:
    """List the settings to execute first.

    The startup packet cannot carry them: libpq appends PGTZ and PGDATESTYLE from the environment to
    our options, and servers before 17 would refuse a timeout that they do not know.

    Args:
        server_version: As libpq has it: 180001 for 18.1.
    """
    settings = {name: FIXED[name] for name in ("TimeZone", "DateStyle")}
    return _statements(settings | _limits_since_17(server_version))


def settling_statements(server_version: int, options: str) -> list[str]:
    """List the statements that apply our settings to an open session.

    A pooler accepts few settings in the startup packet and refuses the others.

    Args:
        options: The address's options; a timeout that they name is kept.
    """
    limits = {**LIMITS, "lock_timeout": "0", **_limits_since_17(server_version)}
    wanted = {name: value for name, value in limits.items() if name not in options}
    return _statements({**FIXED, **wanted})


def _limits_since_17(server_version: int) -> dict[str, str]:
    return {"transaction_timeout": "0"} if server_version >= SINCE_17 else {}


def _statements(settings: Mapping[str, str]) -> list[str]:
    # SET needs no lookup, whereas a new session's first query reads the catalogue.
    return [f"SET {name} TO '{value}'" for name, value in settings.items()]


def _options(settings: Mapping[str, str]) -> str:
    """Write settings as startup options, escaping blanks."""
    return " ".join(f"-c {name}={_escaped(value)}" for name, value in settings.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
