"""Addresses of databases as PostgreSQL URLs."""

from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict


def database_url(
    server_url: str,
    *,
    database: str,
    user: str | None = None,
    password: str | None = None,
    statement_seconds: int | None = None,
) -> str:
    """The URL of another database, or another role's URL, on the server that `server_url` names.

    Args:
        server_url: Any URL or conninfo string that libpq reads.
        statement_seconds: After so long the server itself ends a statement.

    Raises:
        psycopg.ProgrammingError: `server_url` is neither.
    """
    parts = {key: str(value) for key, value in conninfo_to_dict(server_url).items()}
    parts.pop("dbname", None)
    old_user, old_password = parts.pop("user", ""), parts.pop("password", "")
    user, password = (user, password or "") if user else (old_user, old_password)
    if statement_seconds is not None:
        limit = f"-c statement_timeout={statement_seconds}s"
        parts["options"] = f"{parts.get('options', '')} {limit}".strip()
    host, port = parts.pop("host", ""), parts.pop("port", "")
    if host.startswith("/"):
        parts["host"], host = host, ""
    if ":" in host:
        host = f"[{host}]"
    login = quote(user, safe="") + (":" + quote(password, safe="") if password else "")
    address = (f"{login}@" if login else "") + host + (f":{port}" if port else "")
    query = "?" + urlencode(parts, quote_via=quote) if parts else ""
    return f"postgresql://{address}/{quote(database, safe='')}{query}"
