"""Tokens of a project: made, sealed, and looked up by keyed hash."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.ids import new_resource_id, new_token_uuid

KIND_PREFIXES = {"profile": "p-", "analysis": "a-", "device": ""}
SEAL_PURPOSE = "token"


@dataclass(frozen=True)
class NewToken:
    """A token as the database keeps it, and the value that its owner is shown."""

    value: str
    hash: bytes
    sealed_value: bytes
    last_four: str


def mint(kind: str, *, prefix: str, keys: Keyring) -> NewToken:
    """A fresh token value of a kind (profile, device or analysis) for the database `prefix`."""
    value = KIND_PREFIXES[kind] + str(new_token_uuid(prefix))
    return NewToken(
        value=value,
        hash=keys.digest(value),
        sealed_value=keys.seal(value, SEAL_PURPOSE),
        last_four=value[-4:],
    )


def create_token(
    connection: Connection[tuple[object, ...]],
    *,
    keys: Keyring,
    kind: str,
    name: str,
    device_id: str | None = None,
    analysis_id: str | None = None,
    permission: str = "full",
    serie_number: str | None = None,
    expires_at: datetime | None = None,
) -> NewToken:
    """Store a new token of the database that the connection is open to.

    Raises:
        LookupError: the database was not provisioned.
        psycopg.errors.ForeignKeyViolation: no such device or analysis.
        psycopg.errors.CheckViolation: the kind does not fit the resource.
    """
    row = connection.execute("SELECT prefix FROM instance").fetchone()
    if row is None:
        raise LookupError("the database has no instance row: it was not provisioned")
    token = mint(kind, prefix=str(row[0]), keys=keys)
    connection.execute(
        """INSERT INTO token (id, kind, device_id, analysis_id, name, permission, serie_number,
                              expires_at, hash, sealed_value, last_four)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        [
            new_resource_id(),
            kind,
            device_id,
            analysis_id,
            name,
            permission,
            serie_number,
            expires_at,
            token.hash,
            token.sealed_value,
            token.last_four,
        ],
    )
    return token


def renew_tokens(connection: Connection[tuple[object, ...]], *, prefix: str, keys: Keyring) -> None:
    """Give every token of a database a new value under its new prefix."""
    rows = connection.execute("SELECT id::text, kind FROM token").fetchall()
    tokens = [mint(str(kind), prefix=prefix, keys=keys) for _, kind in rows]
    connection.execute(
        """UPDATE token SET hash = new.hash, sealed_value = new.sealed_value,
                            last_four = new.last_four
           FROM unnest(%s::text[], %s::bytea[], %s::bytea[], %s::text[])
                AS new (id, hash, sealed_value, last_four)
           WHERE token.id = new.id""",
        [
            [token_id for token_id, _ in rows],
            [token.hash for token in tokens],
            [token.sealed_value for token in tokens],
            [token.last_four for token in tokens],
        ],
    )


@dataclass(frozen=True)
class TokenIdentity:
    """Whom a presented token speaks for."""

    id: str
    kind: str
    device_id: str | None
    analysis_id: str | None
    permission: str
    expires_at: datetime | None
    # False where it speaks for a device that is switched off.
    is_active: bool
    # Whether its last use has not been written down for a minute.
    use_is_due: bool


# In the order of the fields of a TokenIdentity.
IDENTITY = """
    SELECT token.id, kind, device_id, analysis_id, permission, expires_at,
           coalesce(device.active, true),
           coalesce(last_used_at < now() - interval '1 minute', true)
    FROM token LEFT JOIN device ON device.id = token.device_id
    WHERE hash = %s AND (expires_at IS NULL OR expires_at > now())"""


def find_token(
    connection: Connection[tuple[object, ...]], value: str, *, keys: Keyring
) -> TokenIdentity | None:
    """The identity behind a token, or None where it is unknown or has expired."""
    # By every request, so it is prepared from the first one on.
    row = connection.execute(IDENTITY, [keys.digest(value)], prepare=True).fetchone()
    return TokenIdentity(*row) if row else None  # type: ignore[arg-type]


def note_use(connection: Connection[tuple[object, ...]], token_id: str) -> None:
    """Write down that a token is in use; once a minute is enough, see `use_is_due`."""
    connection.execute("UPDATE token SET last_used_at = now() WHERE id = %s", [token_id])


def reveal(sealed_value: bytes, *, keys: Keyring) -> str:
    """The token's value, for token lists of the API and the reveal on a page."""
    return keys.open(sealed_value, SEAL_PURPOSE)
