"""Uploaded files."""

import hashlib
import tempfile
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from psycopg import Connection
from psycopg.rows import class_row

ANYTHING = "application/octet-stream"
# SQL can store any number as `size`, and asking for the length of the content costs no more.
SIZE = "octet_length(content)"
COLUMNS = f"path, content_type, {SIZE} AS size, md5, public, updated_at"
STORE = "INSERT INTO file (path, content_type, size, md5, public, content)"
REPLACE = """ON CONFLICT (path) DO UPDATE SET content_type = excluded.content_type,
    size = excluded.size, md5 = excluded.md5, public = excluded.public,
    content = excluded.content, updated_at = now()"""
# Bytes of a file that are read at a time.
SLICE = 4_000_000
# The folder in which the parts of an upload wait until it ends; see upload_parts.py.
WAITING = ".uploads/"


@dataclass(frozen=True)
class File:
    """An uploaded file without its content."""

    path: str
    content_type: str
    size: int
    md5: str
    public: bool
    updated_at: datetime


@dataclass(frozen=True)
class Folder:
    """The contents of a folder: some of its files, and the names of folders.

    Attributes:
        total: The number of files in this folder.
        bytes: The size of all files of the project.
        more: The path after which the next page begins; "" on the last one.
    """

    files: list[File]
    folders: list[str]
    total: int
    bytes: int
    more: str


def put_file(
    connection: Connection,
    *,
    path: str,
    content: bytes,
    content_type: str = ANYTHING,
    public: bool = False,
) -> None:
    """Store an uploaded file, replacing one of the same path."""
    connection.execute(
        f"{STORE} VALUES (%s, %s, %s, %s, %s, %s) {REPLACE}",
        [
            path.lstrip("/"),
            content_type,
            len(content),
            hashlib.md5(content, usedforsecurity=False).hexdigest(),
            public,
            content,
        ],
    )


def find_file(connection: Connection, path: str) -> File | None:
    """Return the file with this path, or None."""
    with connection.cursor(row_factory=class_row(File)) as cursor:
        return cursor.execute(f"SELECT {COLUMNS} FROM file WHERE path = %s", [path]).fetchone()  # noqa: S608


def read_start(connection: Connection, path: str, most: int) -> bytes | None:
    """Return the first `most` bytes of a file; None if there is none."""
    row = connection.execute(
        "SELECT substring(content FOR %s) FROM file WHERE path = %s", [most, path]
    ).fetchone()
    return bytes(row[0]) if row else None


def spool_file(connection: Connection, path: str) -> IO[bytes]:
    """Copy the content of a file to this machine's disk, a slice at a time.

    Returns:
        A file for the caller to close; empty if the stored one is gone.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    if not _copy_content(connection, path, file):
        file.seek(0)
        file.truncate()
        # SQL could replace it again and again, and keep this going for hours.
        with connection.transaction():
            connection.execute("SELECT FROM file WHERE path = %s FOR SHARE", [path])
            _copy_content(connection, path, file)
    file.seek(0)
    return file


def _copy_content(connection: Connection, path: str, file: IO[bytes]) -> bool:
    """Copy the content of a file; False if it was replaced meanwhile."""
    row = connection.execute(
        f"SELECT {SIZE}, updated_at FROM file WHERE path = %s",  # noqa: S608
        [path],
    ).fetchone()
    for start in range(1, row[0] + 1 if row else 0, SLICE):
        piece = connection.execute(
            "SELECT substring(content FROM %s FOR %s) FROM file"
            " WHERE path = %s AND updated_at = %s",
            [start, SLICE, path, row[1] if row else None],
        ).fetchone()
        if piece is None:
            return False
        file.write(piece[0])
    return True


def list_folder(connection: Connection, folder: str, *, amount: int, after: str = "") -> Folder:
    """List the first `amount` files after the path `after`, and all folders."""
    prefix = f"{folder}/" if folder else ""
    here = {"prefix": prefix, "from": len(prefix) + 1, "waiting": WAITING, "after": after}
    inside = "starts_with(path, %(prefix)s) AND NOT starts_with(path, %(waiting)s)"
    flat = f"{inside} AND strpos(substr(path, %(from)s), '/') = 0"
    with connection.cursor(row_factory=class_row(File)) as cursor:
        found = cursor.execute(
            f"SELECT {COLUMNS} FROM file WHERE {flat} AND path > %(after)s"  # noqa: S608
            " ORDER BY path LIMIT %(amount)s",
            {**here, "amount": amount + 1},
        ).fetchall()
    folders = connection.execute(
        f"SELECT DISTINCT split_part(substr(path, %(from)s), '/', 1) FROM file"  # noqa: S608
        f" WHERE {inside} AND strpos(substr(path, %(from)s), '/') > 0 ORDER BY 1",
        here,
    ).fetchall()
    total = connection.execute(f"SELECT count(*) FROM file WHERE {flat}", here).fetchone()  # noqa: S608
    used = connection.execute(f"SELECT coalesce(sum({SIZE}), 0) FROM file").fetchone()  # noqa: S608
    more = found[amount - 1].path if amount and len(found) > amount else ""
    return Folder(
        files=found[:amount],
        folders=[str(row[0]) for row in folders],
        total=int(total[0]) if total else 0,
        bytes=int(used[0]) if used else 0,
        more=more,
    )


def copy_file(connection: Connection, old: str, new: str) -> bool:
    """Copy a file to another path; False if there is no such file."""
    copied = connection.execute(
        f"{STORE} SELECT %s, content_type, size, md5, public, content FROM file"  # noqa: S608
        f" WHERE path = %s {REPLACE}",
        [new, old],
    )
    return copied.rowcount > 0


def delete_files(connection: Connection, paths: list[str]) -> None:
    """Delete files, ignoring those that do not exist."""
    connection.execute("DELETE FROM file WHERE path = ANY(%s)", [paths])


def set_public(connection: Connection, path: str, public: bool) -> bool:
    """Make a file public or private; False if there is no such file."""
    changed = connection.execute("UPDATE file SET public = %s WHERE path = %s", [public, path])
    return changed.rowcount > 0
