"""Check that a stored snapshot contains none of the excluded data."""

import io
from collections.abc import Iterator, Sequence

import pyarrow.parquet as pq

from backups_portal.demo.errors import DemoError
from backups_portal.lib import pgsession
from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.tokens import reveal
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage

EXCLUDED = """SELECT content FROM analysis_script UNION ALL SELECT content FROM file
              UNION ALL SELECT content FROM attachment
              UNION ALL SELECT convert_to(message, 'UTF8') FROM analysis_console"""


def excluded_values(dsn: str, *, keys: Keyring) -> list[bytes]:
    """Read what no snapshot may contain: code, console lines, files, tokens."""
    with pgsession.connect(dsn) as connection:
        contents = connection.execute(EXCLUDED.encode()).fetchall()
        tokens = connection.execute("SELECT sealed_value FROM token").fetchall()
    values = [bytes(content) for (content,) in contents]
    return values + [reveal(sealed, keys=keys).encode() for (sealed,) in tokens]


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
