"""Compare two main databases row by row, without the backup engine."""

from collections.abc import Iterator
from itertools import zip_longest

from backups_portal.demo.errors import DemoError
from backups_portal.lib import pgsession

# Everything that a restore keeps of a record, which is all except its id and storage time.
RECORDS = """SELECT device, variable, value, unit, "group", time, location::text, metadata::text
             FROM variable_record
             ORDER BY device, variable, time, "group", unit, value, location::text,
                      metadata::text"""
FETCHED = 10_000


def records(dsn: str) -> Iterator[tuple[object, ...]]:
    """Yield all records of a database in a fixed order."""
    with pgsession.connect(dsn) as connection, connection.cursor("records") as cursor:
        cursor.itersize = FETCHED
        cursor.execute(RECORDS)
        yield from cursor


def compare_records(source: str, restored: str) -> int:
    """Compare all records of two databases; return their number.

    Raises:
        DemoError: a record differs; the message shows the first one.
    """
    count = 0
    for count, (one, other) in enumerate(zip_longest(records(source), records(restored)), start=1):
        if one != other:
            raise DemoError(f"Record {count} differs: {one} in the source, {other} restored.")
    return count


def common_values(source: str, restored: str, query: str) -> set[object]:
    """Return the values of a single-column query that both databases share."""
    return _column(source, query) & _column(restored, query)


def _column(dsn: str, query: str) -> set[object]:
    with pgsession.connect(dsn) as connection:
        return {value for (value,) in connection.execute(query.encode())}
