"""Rows of the table `variable` in PostgreSQL's binary COPY format.

Made here instead of by psycopg's `write_row`, which finds out every value's type again: a row
takes a third of the time. Format: https://www.postgresql.org/docs/18/sql-copy.html.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from struct import Struct

from backups_portal.projectdb.records import Record

COPY_ROWS = (
    "COPY variable (series_id, time, number_value, text_value, group_key, location, metadata)"
    " FROM STDIN (FORMAT binary)"
)

_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
# Every field is its length in bytes and its value; a row begins with the number of fields.
_SERIES_AND_TIME = Struct(">hiiiq").pack
_NUMBER = Struct(">id").pack
_POINT = Struct(">idd").pack
_LENGTH = Struct(">i").pack
# PostgreSQL counts microseconds from here.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def encode_rows(rows: Iterable[tuple[int, Record]]) -> bytes:
    """All of the data for COPY_ROWS: pairs of a series' number and a record of it."""
    return b"".join([_BEGIN, *(_row(series_id, record) for series_id, record in rows), _END])


def _row(series_id: int, record: Record) -> bytes:
    _, _, _, number, text, group, time, location, metadata = record
    return (
        _SERIES_AND_TIME(7, 4, series_id, 8, (time - _EPOCH) // _MICROSECOND)
        + (_NULL if number is None else _NUMBER(8, number))
        + (_NULL if text is None else _text(text))
        + _text(group)
        + (_NULL if location is None else _POINT(16, *location))
        + (_NULL if metadata is None else _text(metadata))
    )


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _LENGTH(len(encoded)) + encoded
