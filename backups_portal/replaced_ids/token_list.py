"""The tokens of a project by resource, with the old ones that they replaced."""

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import Connection
from psycopg.rows import class_row

from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.tokens import SEALED, reveal

# Rows read at a time for a file.
BATCH = 2_000
FOUND = """
    FROM token
    LEFT JOIN token_origin ON token_origin.token_id = token.id
    LEFT JOIN device ON device.id = token.device_id
    LEFT JOIN analysis ON analysis.id = token.analysis_id
    WHERE (%(sought)s = ''
           OR strpos(lower(concat_ws(' ', device.name, analysis.name, token.name,
                                     device.id, analysis.id, old_last_four, token.last_four)),
                     lower(%(sought)s)) > 0)"""
FIELDS = """
    SELECT token.id::text, token.kind,
           coalesce(device.id::text, analysis.id::text, '') AS resource_id,
           coalesce(device.name, analysis.name, '') AS resource,
           token.name, coalesce(old_last_four, '') AS old_last_four,
           token.last_four AS new_last_four"""
ORDERED = " ORDER BY token.kind, lower(coalesce(device.name, analysis.name, '')), token.id"


@dataclass(frozen=True)
class ListedToken:
    """A token without its value.

    Attributes:
        kind: profile, device or analysis.
        resource_id: The id of its device or analysis; "" for a profile token.
        old_last_four: Those of the token that it replaced, or "".
    """

    id: str
    kind: str
    resource_id: str
    resource: str
    name: str
    old_last_four: str
    new_last_four: str


def count_tokens(connection: Connection, *, sought: str) -> int:
    """Count the tokens that match; "" matches all."""
    row = connection.execute(f"SELECT count(*) {FOUND}".encode(), {"sought": sought}).fetchone()
    return int(row[0]) if row else 0


def read_tokens(connection: Connection, *, sought: str, first: int, most: int) -> list[ListedToken]:
    """Read some tokens, by kind and then by the name of their resource.

    Args:
        sought: A part of a name, an id or the last four characters.
        first: How many to skip.
    """
    query = f"{FIELDS} {FOUND} {ORDERED} OFFSET %(first)s LIMIT %(most)s"
    with connection.cursor(row_factory=class_row(ListedToken)) as cursor:
        values = {"sought": sought, "first": first, "most": most}
        return cursor.execute(query.encode(), values).fetchall()


def all_tokens(connection: Connection) -> Iterator[ListedToken]:
    """Read every token in batches; errors are raised before the first one."""
    cursor = connection.cursor("tokens", row_factory=class_row(ListedToken))
    cursor.itersize = BATCH
    return iter(cursor.execute(f"{FIELDS} {FOUND} {ORDERED}".encode(), {"sought": ""}))


def tokens_replacing(connection: Connection, old: str, *, keys: Keyring) -> list[ListedToken]:
    """Find what replaced a token; only the keyed hash is compared."""
    query = f"{FIELDS} {FOUND} AND old_hash = %(hash)s {ORDERED}"
    with connection.cursor(row_factory=class_row(ListedToken)) as cursor:
        values = {"sought": "", "hash": keys.digest(old)}
        return cursor.execute(query.encode(), values).fetchall()


def reveal_token(
    connection: Connection, token_id: str, *, keys: Keyring
) -> tuple[ListedToken, str] | None:
    """Read a token with its value; None if it is gone or not the project's."""
    query = f"{FIELDS}, {SEALED} {FOUND} AND token.id::text = %(id)s"
    row = connection.execute(query.encode(), {"sought": "", "id": token_id}).fetchone()
    value = reveal(*row[-2:], keys=keys) if row else ""
    return (ListedToken(*row[:-2]), value) if row and value else None
