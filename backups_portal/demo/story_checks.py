"""Checks that excluded data stays out of backups, and restores are equal.

They read files and rows without the backup engine's code for restores.
"""

import io
from collections.abc import Iterator, Sequence
from itertools import zip_longest

import pyarrow.parquet as pq

from backups_portal.demo.errors import DemoError
from backups_portal.lib import pgsession
from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.tokens import SEALED, reveal
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage

EXCLUDED = """SELECT content FROM analysis_script UNION ALL SELECT content FROM file
              UNION ALL SELECT content FROM attachment
              UNION ALL SELECT convert_to(message, 'UTF8') FROM analysis_console"""
# Everything that a restore keeps of a record, which is all except its id and storage time.
RECORDS = """SELECT device, variable, value, unit, "group", time, location::text, metadata::text
             FROM variable_record
             ORDER BY device, variable, time, "group", unit, value, location::text,
                      metadata::text"""
FETCHED = 10_000


def excluded_values(dsn: str, *, keys: Keyring) -> list[bytes]:
    """Read what no snapshot may contain: code, console lines, files, tokens."""
    with pgsession.connect(dsn) as connection:
        contents = connection.execute(EXCLUDED.encode()).fetchall()
        tokens = connection.execute(f"SELECT {SEALED} FROM token").fetchall()  # noqa: S608
    values = [bytes(content) for (content,) in contents]
    return values + [reveal(*sealed, keys=keys).encode() for sealed in tokens]


def search_snapshot(manifest: Manifest, storage: Storage, secrets: Sequence[bytes]) -> int:
    """Search a snapshot for the secrets; return the number of bytes.

    Raises:
        DemoError: one was found.
    """
    searched = 0
    for content in decompressed(manifest, storage):
        searched += len(content)
        if any(secret in content for secret in secrets):
            raise DemoError("The snapshot holds something that must not be in it.")
    return searched


def decompressed(manifest: Manifest, storage: Storage) -> Iterator[bytes]:
    """Yield the manifest, then the decompressed columns of its objects."""
    yield storage.get(manifest.key)
    for key in manifest.objects:
        for column in pq.read_table(io.BytesIO(storage.get(key))).columns:
            for chunk in column.chunks:
                yield from (buffer.to_pybytes() for buffer in chunk.buffers() if buffer)


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
