"""Read resources as rows, over the connection that reads the variables.

A driver that returns Arrow columns takes 70 ms to connect and 7 ms per table, which was a third of
an incremental snapshot; most resource tables have only a few rows.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import cast

import pyarrow as pa
from psycopg import Connection
from psycopg.rows import TupleRow

from backups_portal.projectdb.columns import arrow_type
from snapshots.engine.pg_timestamps import MicrosecondsLoader

# Rows of one part, and roughly the bytes of its texts; a part is held in memory.
PART_ROWS, PART_BYTES = 32_768, 16 << 20


def read_together(
    connection: Connection, queries: Sequence[tuple[bytes, dict[str, str]]]
) -> list[pa.Table]:
    """Read several queries in one round trip; all rows are in memory at once.

    Args:
        queries: Each with its types, as for `read_rows`.
    """
    with connection.pipeline():
        cursors = [connection.cursor(binary=True) for _ in queries]
        for cursor, (query, _) in zip(cursors, queries, strict=True):
            cursor.adapters.register_loader("timestamptz", MicrosecondsLoader)
            cursor.execute(query)
    return [
        _table(cursor.fetchall(), _schema(types))
        for cursor, (_, types) in zip(cursors, queries, strict=True)
    ]


def read_rows(
    connection: Connection,
    query: bytes,
    types: dict[str, str],
) -> Iterator[pa.Table]:
    """Read the rows of a query in parts; at least one part, even if empty.

    Args:
        types: PostgreSQL's type names of the columns, in the order of the query.
    """
    schema = _schema(types)
    with connection.transaction(), connection.cursor(binary=True) as cursor:
        cursor.adapters.register_loader("timestamptz", MicrosecondsLoader)
        texts = [place for place, field in enumerate(schema) if _is_long(field.type)]
        # The stream holds the connection's lock, which the end of the transaction waits for: if it
        # were not closed, a caller that stops early would wait forever.
        stream = cast(Generator[TupleRow], cursor.stream(query))
        with closing(stream) as rows:
            table = _table(_take(rows, texts), schema)
            yield table
            # No variable keeps a part's rows while the caller works on it: a text can have 100 MB.
            while (table := _table(_take(rows, texts), schema)).num_rows:
                yield table


def no_rows(types: dict[str, str]) -> pa.Table:
    """Return the result of a query that finds no rows."""
    return _schema(types).empty_table()


def _schema(types: dict[str, str]) -> pa.Schema:
    return pa.schema([(name, arrow_type(kind)) for name, kind in types.items()])


def _is_long(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _take(rows: Iterator[TupleRow], texts: list[int]) -> list[TupleRow]:
    """Take the rows of the next part; `texts` are the positions of its texts."""
    part, size = [], 0
    for row in islice(rows, PART_ROWS):
        part.append(row)
        size += sum(len(row[place] or "") for place in texts)
        if size >= PART_BYTES:
            break
    return part


def _table(rows: list[TupleRow], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [
        pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
