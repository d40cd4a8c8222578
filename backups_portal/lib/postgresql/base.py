"""Django's PostgreSQL backend, with the settings of all our sessions (`pgsession`)."""

from collections.abc import Sequence
from contextlib import closing

from django.core import checks
from django.core.checks import CheckMessage, Error
from django.db import DatabaseError, NotSupportedError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql import base, features

from backups_portal.lib.pgsession import OLDEST, settling_statements

UTF8 = "TEMPLATE template0 ENCODING 'UTF8'"


class DatabaseFeatures(features.DatabaseFeatures):
    """The portal's requirements of a server; Django itself supports older ones."""

    minimum_database_version = (OLDEST,)


class DatabaseWrapper(base.DatabaseWrapper):
    """The connection to the portal's own database."""

    features_class = DatabaseFeatures

    def init_connection_state(self) -> None:
        """Apply our settings to a new session, by statements that poolers accept."""
        super().init_connection_state()
        options = str(self.settings_dict["OPTIONS"].get("options", ""))
        statements = settling_statements(self.connection.info.server_version, options)
        with self.wrap_database_errors:
            self.connection.execute(";".join(statements), prepare=False)
        if not self.get_autocommit():
            self.connection.commit()


def check_server_version(
    *, databases: Sequence[str] | None = None, **_: object
) -> list[CheckMessage]:
    """Report a server that is too old, before `migrate` makes tables."""
    for alias in databases or []:
        try:
            connections[alias].check_database_version_supported()
        except NotSupportedError as error:
            return [Error(f"The portal's own database: {error}", id="postgresql.E001")]
        except DatabaseError:
            # The command itself reports why it cannot connect.
            continue
    return []


def check_encoding(*, databases: Sequence[str] | None = None, **_: object) -> list[CheckMessage]:
    """Report a database whose encoding is not UTF8.

    A database that is in use gets a warning: only a new one is refused.
    """
    for alias in databases or []:
        try:
            with connections[alias].cursor() as cursor:
                cursor.execute(
                    """SELECT current_setting('server_encoding'),
                              to_regclass('django_migrations') IS NOT NULL"""
                )
                found, is_in_use = cursor.fetchone()
        except DatabaseError:
            continue
        if found != "UTF8":
            sentence = f"The portal's own database has the encoding {found}."
            if is_in_use:
                advice = f"Dump it, and restore it into one created with {UTF8}."
                return [checks.Warning(f"{sentence} {advice}", id="postgresql.W003")]
            return [Error(f"{sentence} Create it with {UTF8}.", id="postgresql.E003")]
    return []


def check_pooling(*, databases: Sequence[str] | None = None, **_: object) -> list[CheckMessage]:
    """Report a pooler in transaction mode, before anything relies on sessions.

    In that mode two connected clients get the same server process in turn, and would share settings
    and locks.
    """
    for alias in databases or []:
        try:
            with closing(connections[alias].copy()) as first, closing(first.copy()) as second:
                is_shared = _server_process(first) == _server_process(second)
        except DatabaseError:
            continue
        if is_shared:
            return [
                Error(
                    "The portal's own database: the pooler in front of it lends sessions for one "
                    "transaction. Set pool_mode = session in PgBouncer.",
                    id="postgresql.E002",
                )
            ]
    return []


def _server_process(connection: BaseDatabaseWrapper) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])
