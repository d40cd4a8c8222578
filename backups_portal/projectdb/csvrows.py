"""A device's records as CSV among the project's files: written by PostgreSQL, and read back in."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Any

from psycopg import Connection

from backups_portal.projectdb.files import SLICE, find_file, put_file, spool_file

CSV = "text/csv"
COLUMNS = """COPY (
    SELECT id, variable, value #>> '{}' AS value, "group", unit,
           CASE WHEN location IS NOT NULL THEN json_build_object(
               'type', 'Point', 'coordinates', json_build_array(location[0], location[1])) END
               AS location,
           metadata, to_char(time, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS time
    FROM variable_record WHERE device = %(device)s"""
BETWEEN = " AND time >= %(start)s AND time < %(end)s"
ORDERED = " ORDER BY variable_record.time, id) TO STDOUT (FORMAT csv, HEADER {})"


class TooLargeError(Exception):
    """The records do not fit into a file."""


def write_csv(
    connection: Connection[Any],
    device_id: str,
    path: str,
    *,
    headers: bool,
    between: tuple[datetime, datetime] | None,
    most: int,
) -> int:
    """Store a file with a device's records, oldest first; one of the same path is replaced.

    Args:
        between: From the first moment on, and before the second one; None for all.
        most: Bytes of the file.

    Returns:
        How many bytes it has.

    Raises:
        TooLargeError: it would have more.
    """
    start, end = between or (None, None)
    statement = f"{COLUMNS}{BETWEEN if between else ''}{ORDERED.format(headers)}"
    values = {"device": device_id, "start": start, "end": end}
    with tempfile.SpooledTemporaryFile(max_size=SLICE) as file:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL timezone = 'UTC'")
            with cursor.copy(statement, values) as copy:
                for piece in copy:
                    file.write(piece)
                    if file.tell() > most:
                        raise TooLargeError
        size = file.tell()
        file.seek(0)
        put_file(connection, path=path, content=file.read(), content_type=CSV)
    return size


@contextmanager
def stored_file(connection: Connection[Any], path: str) -> Iterator[IO[bytes] | None]:
    """The content of a stored file, on this machine's disk meanwhile; None where there is none."""
    if find_file(connection, path) is None:
        yield None
        return
    with spool_file(connection, path) as file:
        yield file
