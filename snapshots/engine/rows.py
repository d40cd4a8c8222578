"""Reading resources: rows as psycopg gives them, over the connection that reads the variables.

A driver that makes Arrow columns of them takes 70 ms to connect and 7 ms for each table, which was
a third of an incremental snapshot; most tables of resources hold a few rows.
"""

from collections.abc import Iterator
from itertools import islice

import psycopg
import pyarrow as pa
from psycopg import sql

# Rows of one part; a part is in memory.
PART_ROWS = 32_768
# What is not here is text: names, ids, and what is asked for as text.
ARROW_TYPES = {
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "double precision": pa.float64(),
    "bytea": pa.binary(),
    "timestamp with time zone": pa.timestamp("us", "UTC"),
}


def read_rows(
    connection: psycopg.Connection[tuple[object, ...]],
    query: sql.Composed,
    types: dict[str, str],
) -> Iterator[pa.Table]:
    """The rows of a query, in parts; one without rows if there are none.

    Args:
        types: PostgreSQL's names of the columns' types, in the order of the query.
    """
    schema = pa.schema([(name, ARROW_TYPES.get(kind, pa.string())) for name, kind in types.items()])
    with connection.transaction(), connection.cursor(binary=True) as cursor:
        rows = cursor.stream(query)
        part = list(islice(rows, PART_ROWS))
        yield _table(part, schema)
        while len(part) == PART_ROWS and (part := list(islice(rows, PART_ROWS))):
            yield _table(part, schema)


def _table(rows: list[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [
        pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
