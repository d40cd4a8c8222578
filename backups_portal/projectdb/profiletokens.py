"""The tokens of a project's profile: what its owner hands to scripts and the command line."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import class_row

NAME_LENGTH = 100


@dataclass(frozen=True)
class ProfileToken:
    """A token as its owner may see it again: without its value."""

    id: str
    name: str
    permission: str
    last_four: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    has_expired: bool


def list_profile_tokens(connection: Connection[tuple[object, ...]]) -> list[ProfileToken]:
    """Every token of the profile, newest first, expired ones as well."""
    with connection.cursor(row_factory=class_row(ProfileToken)) as cursor:
        return cursor.execute(
            """SELECT id::text, name, permission, last_four, created_at, expires_at, last_used_at,
                      coalesce(expires_at <= now(), false) AS has_expired
               FROM token WHERE kind = 'profile' ORDER BY created_at DESC, id DESC"""
        ).fetchall()


def has_profile_token(connection: Connection[tuple[object, ...]], name: str) -> bool:
    """Whether a token of the profile has this name, in whatever case."""
    return (
        connection.execute(
            "SELECT 1 FROM token WHERE kind = 'profile' AND lower(name) = lower(%s)", [name]
        ).fetchone()
        is not None
    )


def delete_profile_token(
    connection: Connection[tuple[object, ...]], token_id: str
) -> ProfileToken | None:
    """Make a token of the profile worth nothing from now on; None where there is none."""
    with connection.cursor(row_factory=class_row(ProfileToken)) as cursor:
        return cursor.execute(
            """DELETE FROM token WHERE kind = 'profile' AND id::text = %s
               RETURNING id::text, name, permission, last_four, created_at, expires_at,
                         last_used_at, coalesce(expires_at <= now(), false) AS has_expired""",
            [token_id],
        ).fetchone()
