"""Django's backend for PostgreSQL, with sessions that are settled as all others of ours are."""

from django.db.backends.postgresql import base

from backups_portal.lib.pgsession import settling_statements


class DatabaseWrapper(base.DatabaseWrapper):
    """The connection to the portal's own database."""

    def init_connection_state(self) -> None:
        """Settle a new session; in statements, which a pooler in front of the database lets by."""
        super().init_connection_state()
        options = str(self.settings_dict["OPTIONS"].get("options", ""))
        statements = settling_statements(self.connection.info.server_version, options)
        with self.wrap_database_errors:
            self.connection.execute(";".join(statements), prepare=False)
        if not self.get_autocommit():
            self.connection.commit()
