"""Writing entities: tables that a project's owner defines, and their rows."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from backups_portal.projectdb.resources import create


def create_entity(
    connection: Connection[Any], *, name: str, schema: Mapping[str, Any], **values: Any
) -> str:
    """An entity without rows; `schema` says of each field its type and whether it is required."""
    return create(connection, "entity", name=name, schema=dict(schema), **values)


def add_rows(
    connection: Connection[Any], *, entity_id: str, rows: Sequence[Mapping[str, Any]]
) -> list[uuid.UUID]:
    """Add rows to an entity as they are; returns their ids.

    Each has a moment of its own, so that reading them by age keeps the order of the list.

    Raises:
        psycopg.errors.ForeignKeyViolation: there is no such entity.
    """
    ids = [uuid.uuid4() for _ in rows]
    with connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO entity_record (entity_id, id, data, created_at, updated_at)
               SELECT %s, %s, %s, moment, moment FROM clock_timestamp() AS moment""",
            [(entity_id, new, Jsonb(dict(row))) for new, row in zip(ids, rows, strict=True)],
        )
    return ids
