"""Create, seal, list, look up and revoke the tokens of a project."""

from dataclasses import asdict, dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import class_row

from backups_portal.lib.crypto import DecryptionError, Keyring
from backups_portal.projectdb.ids import new_resource_id, new_token_uuid
from backups_portal.projectdb.resource_writer import insert

KIND_PREFIXES = {"profile": "p-", "analysis": "a-", "device": ""}
# Published programs demand this many characters of every token, including the two of a kind's
# prefix. Older tokens of profiles and analyses have two more, and still work.
CHARACTERS = 36
NAME_LENGTH = 100
SEAL_PURPOSE = "token"
# The arguments of `reveal`, in queries of the table.
SEALED = "token.sealed_value, (SELECT prefix FROM instance)"
# What each permission of a token allows, for every kind of token.
RIGHTS = {
    "full": frozenset({"read", "write", "delete"}),
    "write": frozenset({"write"}),
    "read": frozenset({"read"}),
}


@dataclass(frozen=True)
class NewToken:
    """A token as the database stores it, and the value to show its owner."""

    value: str
    hash: bytes
    sealed_value: bytes
    last_four: str

    def columns(self) -> dict[str, str | bytes]:
        """Return its values by column of the table."""
        return {"hash": self.hash, "sealed_value": self.sealed_value, "last_four": self.last_four}


@dataclass(frozen=True)
class TokenGrant:
    """What a token is for and permits; the fields are columns of the table.

    Attributes:
        kind: profile, device or analysis; the last two need a device_id or analysis_id.
    """

    kind: str
    name: str
    device_id: str | None = None
    analysis_id: str | None = None
    permission: str = "full"
    serie_number: str | None = None
    expires_at: datetime | None = None


def mint(kind: str, *, prefix: str, keys: Keyring) -> NewToken:
    """Make a token value of a kind for the database `prefix`."""
    value = f"{KIND_PREFIXES[kind]}{new_token_uuid(prefix)}"[:CHARACTERS]
    return NewToken(
        value=value,
        hash=keys.digest(value),
        sealed_value=keys.seal(value, SEAL_PURPOSE),
        last_four=value[-4:],
    )


def create_token(connection: Connection, grant: TokenGrant, *, keys: Keyring) -> NewToken:
    """Store a new token of the database that the connection is open to.

    Raises:
        LookupError: the database was not provisioned.
        psycopg.errors.ForeignKeyViolation: no such device or analysis.
        psycopg.errors.CheckViolation: the kind does not fit the resource.
    """
    row = connection.execute("SELECT prefix FROM instance").fetchone()
    if row is None:
        raise LookupError("the database has no instance row: it was not provisioned")
    token = mint(grant.kind, prefix=row[0], keys=keys)
    insert(connection, "token", {"id": new_resource_id(), **asdict(grant), **token.columns()})
    return token


def renew_tokens(connection: Connection, *, prefix: str, keys: Keyring) -> None:
    """Give every token of a database a new value under its new prefix."""
    rows = connection.execute("SELECT id::text, kind FROM token").fetchall()
    tokens = [mint(kind, prefix=prefix, keys=keys) for _, kind in rows]
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
    """What a presented token speaks for."""

    id: str
    kind: str
    device_id: str | None
    analysis_id: str | None
    permission: str
    expires_at: datetime | None
    # False if it is the token of a device that is switched off.
    is_active: bool
    # Whether its recorded last use is more than a minute old, or missing.
    use_is_due: bool


# In the order of the fields of a TokenIdentity.
IDENTITY = """
    SELECT token.id, kind, device_id, analysis_id, permission, expires_at,
           coalesce(device.active, true),
           coalesce(last_used_at < now() - interval '1 minute', true)
    FROM token LEFT JOIN device ON device.id = token.device_id
    WHERE hash = %s AND (expires_at IS NULL OR expires_at > now())"""


def find_token(connection: Connection, value: str, *, keys: Keyring) -> TokenIdentity | None:
    """Return the identity behind a token; None if absent or expired."""
    # Every request asks this, so prepare the statement from the first one on.
    row = connection.execute(IDENTITY, [keys.digest(value)], prepare=True).fetchone()
    return TokenIdentity(*row) if row else None


def hold_token(connection: Connection, token_id: str) -> str | None:
    """Return the permission of a token; None if absent, revoked or expired.

    Until the transaction ends it cannot be revoked, but its last use can be updated.
    """
    row = connection.execute(
        """SELECT permission FROM token
           WHERE id = %s AND (expires_at IS NULL OR expires_at > now()) FOR KEY SHARE""",
        [token_id],
    ).fetchone()
    return str(row[0]) if row else None


def still_may(connection: Connection, token_id: str | None, right: str) -> bool:
    """Tell whether an earlier request's token still has a right; hold it."""
    permission = hold_token(connection, token_id) if token_id else None
    return right in RIGHTS.get(permission or "", ())


def note_use(connection: Connection, token_id: str) -> None:
    """Record that a token is in use; see `use_is_due`."""
    connection.execute("UPDATE token SET last_used_at = now() WHERE id = %s", [token_id])


def reveal(sealed_value: bytes, prefix: str, *, keys: Keyring) -> str:
    """Return a token's value, for token lists of the API and for a page.

    An owner can write any bytes into the column, even those of another project's token, which this
    owner must not see.

    Args:
        prefix: The prefix of the database that the value was read from.

    Returns:
        "" for bytes that are not a token of this database.
    """
    try:
        value = keys.open(sealed_value, SEAL_PURPOSE)
    except DecryptionError:
        return ""
    is_own = any(value.startswith(kind + prefix) for kind in KIND_PREFIXES.values())
    return value if is_own else ""


LISTED = """id::text, name, permission, last_four, created_at, expires_at, last_used_at,
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
            f"SELECT {LISTED} FROM token WHERE kind = 'profile' ORDER BY created_at DESC, id DESC"  # noqa: S608
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
            f"DELETE FROM token WHERE kind = 'profile' AND id::text = %s RETURNING {LISTED}",  # noqa: S608
            [token_id],
        ).fetchone()
