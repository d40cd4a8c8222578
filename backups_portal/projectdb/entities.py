"""Write rows of entities, the tables that a project's owner defines."""

import uuid
from collections.abc import Mapping, Sequence

from psycopg import Connection
from psycopg.types.json import Jsonb


def add_rows(
    connection: Connection, *, entity_id: str, rows: Sequence[Mapping[str, object]]
) -> list[uuid.UUID]:
    """Add rows to an entity, unchecked; return their ids.

    Each gets a different creation time, so that reading them by age keeps the order of the list.

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
