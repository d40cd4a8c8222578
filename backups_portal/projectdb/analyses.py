"""Writing analyses, their scripts and their console lines."""

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.resources import create
from backups_portal.projectdb.tokens import NewToken, create_token


def create_analysis(
    connection: Connection[Any], *, keys: Keyring, name: str, **values: Any
) -> tuple[str, NewToken]:
    """An analysis and its token; the script is uploaded apart."""
    with connection.transaction():
        analysis_id = create(connection, "analysis", name=name, **values)
        token = create_token(
            connection, keys=keys, kind="analysis", name=name, analysis_id=analysis_id
        )
    return analysis_id, token


def upload_script(
    connection: Connection[Any],
    *,
    analysis_id: str,
    file_name: str,
    content: bytes,
    language: str = "node",
) -> int:
    """Store the next version of an analysis' script; returns its number, from 1."""
    row = connection.execute(
        """INSERT INTO analysis_script (analysis_id, version, file_name, language, content)
           SELECT %(id)s::resource_id, coalesce(max(version), 0) + 1, %(file_name)s,
                  %(language)s, %(content)s
           FROM analysis_script WHERE analysis_id = %(id)s::resource_id RETURNING version""",
        {"id": analysis_id, "file_name": file_name, "language": language, "content": content},
    ).fetchone()
    return int(row[0]) if row else 0


def write_console(connection: Connection[Any], analysis_id: str, messages: Sequence[str]) -> None:
    """Append lines to the console of an analysis."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO analysis_console (analysis_id, message) VALUES (%s, %s)",
            [(analysis_id, message) for message in messages],
        )
