"""Write analyses, their scripts and their console lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import class_row

from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.resource_writer import create
from backups_portal.projectdb.tokens import SEALED, NewToken, TokenGrant, create_token, reveal

# Console lines that are kept for each analysis.
CONSOLE_LINES = 1000


@dataclass(frozen=True)
class Script:
    """One version of an analysis's script."""

    version: int
    file_name: str
    language: str
    content: bytes


def create_analysis(
    connection: Connection, *, keys: Keyring, name: str, permission: str = "full", **values: object
) -> tuple[str, NewToken]:
    """Make an analysis and its token; the script is uploaded separately."""
    with connection.transaction():
        analysis_id = create(connection, "analysis", name=name, **values)
        token = create_token(
            connection,
            TokenGrant("analysis", name=name, analysis_id=analysis_id, permission=permission),
            keys=keys,
        )
    return analysis_id, token


def token_of(connection: Connection, analysis_id: str, *, keys: Keyring) -> tuple[str, str] | None:
    """Return the newest token of an analysis and its permission, if any."""
    row = connection.execute(
        f"""SELECT {SEALED}, permission FROM token WHERE analysis_id = %s
            ORDER BY created_at DESC, id DESC LIMIT 1""",  # noqa: S608 - a constant
        [analysis_id],
    ).fetchone()
    return (reveal(*row[:2], keys=keys), str(row[2])) if row else None


def renew_token(connection: Connection, analysis_id: str, *, keys: Keyring) -> str:
    """Replace all tokens of an analysis in the caller's transaction."""
    connection.execute("DELETE FROM token WHERE analysis_id = %s", [analysis_id])
    token = create_token(
        connection, TokenGrant("analysis", name="Default", analysis_id=analysis_id), keys=keys
    )
    return token.value


def upload_script(
    connection: Connection,
    *,
    analysis_id: str,
    file_name: str,
    content: bytes,
    language: str = "node",
) -> int:
    """Store an analysis's next script version; return its number, from 1."""
    row = connection.execute(
        """INSERT INTO analysis_script (analysis_id, version, file_name, language, content)
           SELECT %(id)s::resource_id, coalesce(max(version), 0) + 1, %(file_name)s,
                  %(language)s, %(content)s
           FROM analysis_script WHERE analysis_id = %(id)s::resource_id RETURNING version""",
        {"id": analysis_id, "file_name": file_name, "language": language, "content": content},
    ).fetchone()
    return int(row[0]) if row else 0


def newest_script(
    connection: Connection, analysis_id: str, *, version: int | None = None
) -> Script | None:
    """Return the current script, or that of a version; None if absent."""
    with connection.cursor(row_factory=class_row(Script)) as cursor:
        return cursor.execute(
            """SELECT version, file_name, language, content FROM analysis_script
               WHERE analysis_id = %s AND (%s::integer IS NULL OR version = %s)
               ORDER BY version DESC LIMIT 1""",
            [analysis_id, version, version],
        ).fetchone()


def write_console(
    connection: Connection,
    analysis_id: str,
    messages: Sequence[str],
    *,
    time: datetime | None = None,
) -> None:
    """Append lines to an analysis's console; keep the last CONSOLE_LINES."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO analysis_console (analysis_id, time, message)"
            " VALUES (%s, coalesce(%s, now()), %s)",
            [(analysis_id, time, message) for message in messages],
        )
    connection.execute(
        """DELETE FROM analysis_console WHERE analysis_id = %(id)s AND id <= (
               SELECT id FROM analysis_console WHERE analysis_id = %(id)s
               ORDER BY id DESC OFFSET %(most)s LIMIT 1)""",
        {"id": analysis_id, "most": CONSOLE_LINES},
    )


def read_console(connection: Connection, analysis_id: str) -> list[str]:
    """Return the last 100 lines of a console with their times, oldest first."""
    rows = connection.execute(
        """SELECT time, message FROM analysis_console WHERE analysis_id = %s
           ORDER BY id DESC LIMIT 100""",
        [analysis_id],
    ).fetchall()
    return [f"[{time:%Y-%m-%d %H:%M:%S}] {message}" for time, message in reversed(rows)]
