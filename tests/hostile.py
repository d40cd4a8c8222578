"""Database settings that break every program that relies on the server's defaults."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.conf import settings
from psycopg import sql

# Settings that change results.
STYLES = {
    # The last hours of 9999 are in the year 10000 there.
    "TimeZone": "Pacific/Kiritimati",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "client_encoding": "LATIN1",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "synchronize_seqscans": "on",
    "gin_fuzzy_search_limit": "1",
    # No ordinary role may create anything there.
    "default_tablespace": "pg_global",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
}
# Settings that end sessions, or hide tables from them.
LIMITS = {
    "search_path": "pg_catalog",
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "300ms",
    "idle_session_timeout": "300ms",
}
# Exists on servers since version 17.
SINCE_17 = {"transaction_timeout": "300ms"}


@contextmanager
def hostile(*databases: str, only: str = "") -> Iterator[None]:
    """Give databases of the tests' server all of these settings, for new sessions.

    Args:
        only: One setting instead of all.
    """
    options = "-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0"
    with psycopg.connect(settings.PROJECT_DATABASE_URL, autocommit=True, options=options) as server:
        since = SINCE_17 if server.info.server_version >= 170_000 else {}
        for name in databases:
            for setting, value in {**STYLES, **LIMITS, **since}.items():
                if only not in ("", setting):
                    continue
                statement = sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(name),
                    sql.Identifier(setting),
                    sql.SQL(value) if setting in ("DateStyle", "search_path") else value,
                )
                server.execute(statement)
        try:
            yield
        finally:
            for name in databases:
                server.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(name)))
