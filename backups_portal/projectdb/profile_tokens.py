"""List and revoke the tokens of a project's profile."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import class_row

NAME_LENGTH = 100
COLUMNS = """id::text, name, permission, last_four, created_at, expires_at, last_used_at,
    coalesce(expires_at <= now(), false) AS has_expired"""


@dataclass(frozen=True)
class ProfileToken:
    """A token as its owner sees it later: without its value."""

    id: str
    name: str
    permission: str
    last_four: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    has_expired: bool


def list_profile_tokens(connection: Connection) -> list[ProfileToken]:
    """List every token of the profile, newest first, expired ones too."""
    with connection.cursor(row_factory=class_row(ProfileToken)) as cursor:
        return cursor.execute(
            f"SELECT {COLUMNS} FROM token WHERE kind = 'profile' ORDER BY created_at DESC, id DESC"  # noqa: S608
        ).fetchall()


def has_profile_token(connection: Connection, name: str) -> bool:
    """Tell whether a token of the profile has this name, ignoring case."""
    return (
        connection.execute(
            "SELECT 1 FROM token WHERE kind = 'profile' AND lower(name) = lower(%s)", [name]
        ).fetchone()
        is not None
    )


def delete_profile_token(connection: Connection, token_id: str) -> ProfileToken | None:
    """Revoke a token of the profile; None if there is none."""
    with connection.cursor(row_factory=class_row(ProfileToken)) as cursor:
        return cursor.execute(
            f"DELETE FROM token WHERE kind = 'profile' AND id::text = %s RETURNING {COLUMNS}",  # noqa: S608
            [token_id],
        ).fetchone()
