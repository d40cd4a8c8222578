"""Tokens of resources that a transfer makes: new values, and which old one each stands for."""

from typing import Any

from psycopg import Connection, sql

from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.ids import new_resource_id
from backups_portal.projectdb.tokens import mint

OWNERS = {"device": "device_id", "analysis": "analysis_id"}


def count_tokens(source: Connection[Any], kind: str, resources: list[str]) -> int:
    """How many tokens these resources have in the source; none of them works in the target."""
    if kind not in OWNERS:
        return 0
    query = sql.SQL("SELECT count(*) FROM token WHERE {} = ANY(%s)").format(
        sql.Identifier(OWNERS[kind])
    )
    row = source.execute(query, [resources]).fetchone()
    return int(row[0]) if row else 0


def renew_tokens(
    source: Connection[Any],
    target: Connection[Any],
    *,
    kind: str,
    old: str,
    new: str,
    prefix: str,
    keys: Keyring,
) -> None:
    """Give a new resource as many tokens as it has in the source, each with a value of its own.

    Of the old ones, only the keyed hash and the last four characters are noted.
    """
    if kind not in OWNERS:
        return
    owner = sql.Identifier(OWNERS[kind])
    query = sql.SQL(
        "SELECT name, permission, serie_number, expires_at, hash, last_four"
        " FROM token WHERE {} = %s ORDER BY created_at, id"
    )
    for name, permission, serial, expires, old_hash, four in source.execute(
        query.format(owner), [old]
    ).fetchall():
        token, token_id = mint(kind, prefix=prefix, keys=keys), new_resource_id()
        target.execute(
            sql.SQL(
                "INSERT INTO token (id, kind, {}, name, permission, serie_number, expires_at,"
                " hash, sealed_value, last_four) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            ).format(owner),
            [
                token_id,
                kind,
                new,
                name,
                permission,
                serial,
                expires,
                token.hash,
                token.sealed_value,
                token.last_four,
            ],
        )
        target.execute(
            "INSERT INTO token_origin (token_id, old_hash, old_last_four) VALUES (%s, %s, %s)",
            [token_id, old_hash, four],
        )
