"""Create the tokens of new resources, and record which ones they replace."""

from collections.abc import Callable

from psycopg import Connection, sql

from backups_portal.projectdb.ids import new_resource_id
from backups_portal.projectdb.resource_writer import insert
from backups_portal.projectdb.tokens import NewToken

OWNERS = {"device": "device_id", "analysis": "analysis_id"}


def count_tokens(source: Connection, kind: str, resources: list[str]) -> int:
    """Count the source's tokens of some devices or analyses."""
    query = sql.SQL("SELECT count(*) FROM token WHERE {} = ANY(%s)").format(
        sql.Identifier(OWNERS[kind])
    )
    row = source.execute(query, [resources]).fetchone()
    return int(row[0]) if row else 0


def renew_tokens(
    source: Connection,
    target: Connection,
    *,
    kind: str,
    old: str,
    new: str,
    make_token: Callable[[], NewToken],
) -> None:
    """Give a new resource as many tokens as its source has, with new values.

    Of the old tokens, only the keyed hash and the last four characters are recorded.
    """
    if kind not in OWNERS:
        return
    query = sql.SQL(
        "SELECT name, permission, serie_number, expires_at::text, hash, last_four"
        " FROM token WHERE {} = %s ORDER BY created_at, id"
    )
    for name, permission, serial, expires, old_hash, four in source.execute(
        query.format(sql.Identifier(OWNERS[kind])), [old]
    ).fetchall():
        token_id = new_resource_id()
        row = {
            "id": token_id,
            "kind": kind,
            OWNERS[kind]: new,
            "name": name,
            "permission": permission,
            "serie_number": serial,
            "expires_at": expires,
            **make_token().columns(),
        }
        insert(target, "token", row)
        origin = {"token_id": token_id, "old_hash": old_hash, "old_last_four": four}
        insert(target, "token_origin", origin)
