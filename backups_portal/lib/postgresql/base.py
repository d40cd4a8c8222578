"""Django's backend for PostgreSQL, with sessions that are settled as all others of ours are."""

from collections.abc import Sequence
from contextlib import closing

from django.core.checks import CheckMessage, Error
from django.db import DatabaseError, NotSupportedError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql import base, features

from backups_portal.lib.pgsession import OLDEST, settling_statements


class DatabaseFeatures(features.DatabaseFeatures):
    """What the portal asks of a server; Django itself works with older ones."""

    minimum_database_version = (OLDEST,)


class DatabaseWrapper(base.DatabaseWrapper):
    """The connection to the portal's own database."""

    features_class = DatabaseFeatures

    def init_connection_state(self) -> None:
        """Settle a new session; in statements, which a pooler in front of the database lets by."""
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
    """Tell of a server that is too old, before `migrate` makes tables."""
    for alias in databases or []:
        try:
            connections[alias].check_database_version_supported()
        except NotSupportedError as error:
            return [Error(f"The portal's own database: {error}", id="postgresql.E001")]
        except DatabaseError:
            # The command itself says why there is no connection.
            continue
    return []


def check_pooling(*, databases: Sequence[str] | None = None, **_: object) -> list[CheckMessage]:
    """Tell of a pooler that lends sessions for a transaction only, before anything relies on one.

    Two clients have the same process of the server one after the other, though the first has not
    gone: its settings and locks would be the other's.
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
