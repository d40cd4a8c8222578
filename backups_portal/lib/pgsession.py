"""Sessions on PostgreSQL, with everything set that their results depend on.

A server, a database and a role have settings of their own (`ALTER DATABASE … SET`), made for other
programs. As pg_dump does, a session of ours takes none that decides what comes out of a query or
whether it ends: https://www.postgresql.org/docs/18/runtime-config-client.html.
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

# Every supported server knows these; one unknown name, and it refuses the connection.
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
        # A scan that begins where another one is gives rows in another order each time.
        "synchronize_seqscans": "off",
        "gin_fuzzy_search_limit": "0",
        # Where a restore builds the indexes that it has taken away.
        "default_tablespace": "",
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
        "default_transaction_deferrable": "off",
    }
)
# Not of the portal's own database, whose tables are in the schema that its operator chose.
SCHEMA: Mapping[str, str] = MappingProxyType({"search_path": "public"})
# How long a session may take; here the operator, who writes the address, has the last word.
LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "idle_session_timeout": "0",
    }
)
# A session that holds a lock for longer is named, and the work tried again later.
LOCK_LIMIT: Mapping[str, str] = MappingProxyType({"lock_timeout": "60s"})
# Somebody looks at an empty page meanwhile.
PAGE: Mapping[str, str] = MappingProxyType({"lock_timeout": "5s"})
# Compiling pays for none of our statements: those that read much have few expressions.
NO_COMPILING: Mapping[str, str] = MappingProxyType({"jit": "off"})

# The oldest major version that knows what schemas and queries use.
OLDEST = 15
SINCE_17 = 170_000

CONNECT_SECONDS = 10
APPLICATION = "backups-portal"


class ServerTooOldError(psycopg.NotSupportedError):
    """The server is of a version that the portal does not work with."""


class NearestMomentLoader(TimestamptzLoader):
    """Reads a moment of a project's database, or the nearest that Python knows for infinity.

    For showing and comparing; what is stored again is read in another way.
    """

    def load(self, data: Buffer) -> datetime:
        """Return the moment in UTC, from the beginning of year 1 until the end of 9999."""
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
    """Write our settings into an address, for psycopg and other libpq clients.

    A caller that connects with it executes `later_statements` first.

    Args:
        dsn: A URL or conninfo string; the options that it has itself are kept, and stronger than
            our limits.
        settings: What this session needs beyond, stronger than all the others.
        patience: Seconds until a server counts as away, unless the address has a connect_timeout.
        parameters: Of libpq, instead of what the address says.

    Raises:
        psycopg.ProgrammingError: `dsn` is neither.
    """
    found = conninfo_to_dict(dsn)
    own = str(found.get("options") or os.environ.get("PGOPTIONS", ""))
    before = _options({**LIMITS, **LOCK_LIMIT, **NO_COMPILING})
    after = _options({**FIXED, **SCHEMA, **settings})
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
        psycopg.Error: the server cannot be reached or refuses.
    """
    address = session_dsn(dsn, settings=settings, **parameters)
    connection = psycopg.connect(address, autocommit=True)
    try:
        require_supported(connection.info.server_version)
        later = ";".join(later_statements(connection.info.server_version))
        connection.execute(later.encode())
        connection.adapters.register_loader("timestamptz", NearestMomentLoader)
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection


def require_supported(server_version: int) -> None:
    """Refuse a server that is too old.

    Args:
        server_version: As libpq has it: 140009 for 14.9.

    Raises:
        ServerTooOldError: it is; the sentence is fit for a page.
    """
    major, minor = divmod(server_version, 10_000)
    if major < OLDEST:
        raise ServerTooOldError(
            f"PostgreSQL {major}.{minor} is too old: Backups Portal needs {OLDEST} or newer."
        )


def later_statements(server_version: int) -> list[str]:
    """List what the first packet cannot carry, to be executed first.

    libpq puts PGTZ and PGDATESTYLE of the environment behind our options, and servers before 17
    would refuse a limit that they do not know.

    Args:
        server_version: As libpq has it: 180001 for 18.1.
    """
    settings = {name: FIXED[name] for name in ("TimeZone", "DateStyle")}
    return _statements(settings | _limits_since_17(server_version))


def settling_statements(server_version: int, options: str) -> list[str]:
    """List what settles a session that is open already, behind a pooler.

    A pooler knows few settings in the first packet and refuses the others.

    Args:
        options: Of the address; a limit that they name stays.
    """
    limits = {**LIMITS, "lock_timeout": "0", **_limits_since_17(server_version)}
    wanted = {name: value for name, value in limits.items() if name not in options}
    return _statements({**FIXED, **wanted})


def _limits_since_17(server_version: int) -> dict[str, str]:
    return {"transaction_timeout": "0"} if server_version >= SINCE_17 else {}


def _statements(settings: Mapping[str, str]) -> list[str]:
    # SET looks nothing up, where a query of a new session reads the catalogue first.
    return [f"SET {name} TO '{value}'" for name, value in settings.items()]


def _options(settings: Mapping[str, str]) -> str:
    """Write settings as options of the first packet; a blank ends a value."""
    return " ".join(f"-c {name}={_escaped(value)}" for name, value in settings.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
