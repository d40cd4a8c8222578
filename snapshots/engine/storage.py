"""Objects outside the databases: a local folder or a bucket, through obstore."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, NotSupportedError
from obstore.store import LocalStore, from_url

from snapshots.engine.errors import (
    EncryptionError,
    ExistingObjectError,
    MissingObjectError,
    StorageError,
)

# What an encrypted object begins with; no Parquet file and no JSON does.
ENCRYPTED = b"BPE\x01"


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it; the size is in bytes."""

    key: str
    size: int
    modified: datetime


class Cipher(Protocol):
    """What makes objects unreadable on their way to the storage."""

    def seal(self, key: str, content: bytes) -> bytes:
        """The object as it is stored under this key."""

    def open(self, key: str, stored: bytes) -> bytes:
        """The content of a stored object."""

    def sizes(self, size: int) -> tuple[int, ...]:
        """How many bytes an object with `size` bytes of content may have in storage."""


class Storage:
    """A place for objects. Every failure is a StorageError whose message names the object.

    Args:
        store: Of obstore.
        cipher: Encrypts what is put, and decrypts what is got; without one, objects lie open.
    """

    def __init__(self, store: Any, cipher: Cipher | None = None) -> None:
        self._store = store
        self._cipher = cipher

    def encrypted(self, cipher: Cipher) -> "Storage":
        """The same place, where objects are encrypted."""
        return Storage(self._store, cipher)

    def put(self, key: str, content: bytes) -> None:
        """Write an object whole, or not at all."""
        self.put_stored(key, self._seal(key, content))

    def put_stored(self, key: str, content: bytes) -> None:
        """The same as the bytes are, encrypted or not."""
        try:
            obstore.put(self._store, key, content)
        except (BaseError, OSError) as error:
            raise StorageError(f"The backup storage could not write {key}: {error}") from error

    def put_new(self, key: str, content: bytes) -> None:
        """The same, where there is no object of this name; of two writers one succeeds.

        A bucket that knows no conditional writes is written to as ever.

        Raises:
            ExistingObjectError: there is one, which stays as it is.
        """
        content = self._seal(key, content)
        try:
            obstore.put(self._store, key, content, mode="create")
        except AlreadyExistsError as error:
            raise ExistingObjectError(f"The backup storage has {key} already.") from error
        except (BaseError, OSError) as error:
            if not _is_unknown_to_server(error):
                raise StorageError(f"The backup storage could not write {key}: {error}") from error
            self.put_stored(key, content)

    def get(self, key: str) -> bytes:
        """The object's content.

        Raises:
            MissingObjectError: there is no such object.
            EncryptionError: it is encrypted, and cannot be decrypted.
        """
        stored = self.get_stored(key)
        if self._cipher:
            return self._cipher.open(key, stored)
        if stored.startswith(ENCRYPTED):
            raise EncryptionError(
                f"{key} is encrypted, and SNAPSHOT_MASTER_KEYS names no key to read it with."
            )
        return stored

    def get_stored(self, key: str) -> bytes:
        """The object's bytes as they lie there, encrypted or not."""
        try:
            return bytes(obstore.get(self._store, key).bytes())
        except (NotFoundError, FileNotFoundError) as error:
            raise MissingObjectError(f"The backup storage lacks {key}.") from error
        except (BaseError, OSError) as error:
            raise StorageError(f"The backup storage could not read {key}: {error}") from error

    def sizes(self, size: int) -> tuple[int, ...]:
        """How many bytes an object with `size` bytes of content may have in a listing."""
        return self._cipher.sizes(size) if self._cipher else (size,)

    def delete(self, key: str) -> None:
        """Remove an object; one that is gone already is fine."""
        try:
            obstore.delete(self._store, key)
        except (NotFoundError, FileNotFoundError):
            return
        except (BaseError, OSError) as error:
            raise StorageError(f"The backup storage could not delete {key}: {error}") from error

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """All objects below a prefix, in no order, without holding them all in memory."""
        try:
            for batch in obstore.list(self._store, prefix):
                for item in batch:
                    yield StoredObject(item["path"], item["size"], item["last_modified"])
        except (BaseError, OSError) as error:
            raise StorageError(f"The backup storage could not list {prefix}: {error}") from error

    def folders(self) -> Sequence[str]:
        """The names of all folders at the top, in order."""
        try:
            found = obstore.list_with_delimiter(self._store)["common_prefixes"]
        except (BaseError, OSError) as error:
            raise StorageError(f"The backup storage could not be listed: {error}") from error
        return sorted(name.rstrip("/") for name in found)

    def _seal(self, key: str, content: bytes) -> bytes:
        return self._cipher.seal(key, content) if self._cipher else content


def _is_unknown_to_server(error: Exception) -> bool:
    # obstore has no name for the 501 of a bucket that refuses the header If-None-Match.
    return isinstance(error, NotSupportedError) or "NotImplemented" in str(error)


def open_storage(url: str) -> Storage:
    """The storage behind a URL, such as file:///var/lib/backups or s3://bucket/prefix.

    Raises:
        StorageError: the URL is not understood, or the folder cannot be made.
    """
    parts = urlsplit(url)
    try:
        if parts.scheme == "file":
            folder = Path(unquote(parts.path))
            folder.mkdir(parents=True, exist_ok=True)
            return Storage(LocalStore(folder))
        return Storage(from_url(url))
    except (BaseError, OSError, ValueError) as error:
        raise StorageError(
            f"The backup storage {parts.scheme}:// cannot be opened: {error}"
        ) from error
