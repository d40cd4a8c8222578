"""Copies of files on this machine's disk, each shared by all downloads of the file.

A download keeps its copy until the client has read it. With copies of their own, a few hundred
clients that read one large file slowly would fill the disk.
"""

import io
import os
import threading
from typing import IO, Any
from weakref import WeakValueDictionary

from psycopg import Connection

from backups_portal.projectdb.files import File, spool_file

# Of the copies of one project: its owner can make any number of versions of a file.
MAX_BYTES = 2_000_000_000


class FullError(Exception):
    """The project's downloads occupy too much disk space."""


class _Copy:
    """A copy, filled by the first of its downloads."""

    def __init__(self) -> None:
        self.filling = threading.Lock()
        self.content: IO[bytes] | None = None

    def __del__(self) -> None:
        if self.content is not None:
            self.content.close()


_copies: WeakValueDictionary[tuple[str, File], _Copy] = WeakValueDictionary()
_lock = threading.Lock()


def open_copy(connection: Connection, prefix: str, file: File) -> io.RawIOBase:
    """Open a copy of a file of the project with this prefix.

    Raises:
        FullError: too many other files of the project are being downloaded.
    """
    with _lock:
        copy = _copies.get((prefix, file))
        if copy is None:
            others = [one.size for owner, one in _copies if owner == prefix]
            if others and sum(others) + file.size > MAX_BYTES:
                raise FullError
            copy = _copies[prefix, file] = _Copy()
    with copy.filling:
        content = copy.content = copy.content or spool_file(connection, file.path)
    return _Reader(copy, content)


class _Reader(io.RawIOBase):
    """Reads a copy at a position of its own; the last reader of a copy ends it."""

    def __init__(self, copy: _Copy, content: IO[bytes]) -> None:
        self._copy: _Copy | None = copy
        self._number = content.fileno()
        self._size, self._at = os.fstat(self._number).st_size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = begin + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        piece = os.pread(self._number, len(buffer), self._at)
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def close(self) -> None:
        self._copy = None
        super().close()
