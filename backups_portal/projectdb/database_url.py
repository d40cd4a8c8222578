"""Addresses of databases as PostgreSQL URLs."""

from psycopg import ProgrammingError

from backups_portal.lib.addresses import postgresql
from backups_portal.lib.addresses.url import AddressError


def database_url(
    server_url: str,
    *,
    database: str,
    user: str | None = None,
    password: str | None = None,
    statement_seconds: int | None = None,
) -> str:
    """Return the URL of another database, or role, on the same server.

    Args:
        server_url: Any URL or conninfo string that libpq reads.
        statement_seconds: The server's time limit for a statement.

    Raises:
        psycopg.ProgrammingError: `server_url` is neither.
    """
    try:
        parts = postgresql.parameters(server_url)
    except AddressError as error:
        raise ProgrammingError(str(error)) from None
    parts["dbname"] = database
    if user:
        parts |= {"user": user, "password": password or ""}
    if statement_seconds is not None:
        limit = f"-c statement_timeout={statement_seconds}s"
        parts["options"] = f"{parts.get('options', '')} {limit}".strip()
    return postgresql.url(parts)
