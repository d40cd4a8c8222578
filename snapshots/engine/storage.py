"""Objects outside the databases: a local folder or a bucket, through obstore."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, NotSupportedError
from obstore.store import LocalStore, from_url

from snapshots.engine.bucketlock import OBJECT_LOCK, BucketLock, open_lock
from snapshots.engine.errors import (
    EncryptionError,
    ExistingObjectError,
    MissingObjectError,
    StorageError,
)

# What an encrypted object begins with; no Parquet file and no JSON does.
ENCRYPTED = b"BPE\x01"
# Parameters of a URL that are not the bucket's but the connection's. A request that makes no
# progress ends after `read_timeout`, one that makes little after `timeout`.
CONNECTION = {
    "connect_timeout": "5s",
    "read_timeout": "30s",
    "timeout": "900s",
    "allow_http": "",
    "allow_invalid_certificates": "",
    "proxy_url": "",
}
# A request that failed is sent again so often, within so many seconds, after 0.1 s, 0.2 s, 0.4 s …
RETRIES = {"max_retries": 5, "retry_seconds": 60}
# Of S3: the server compares what it stores with a checksum of ours, and keeps that.
CHECKSUM, NO_CHECKSUM = "checksum_algorithm", "none"
Parsed = TypeVar("Parsed")


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
        name: What messages call it.
        lock: Of its bucket, where its URL asks for object lock.
    """

    def __init__(
        self,
        store: Any,
        cipher: Cipher | None = None,
        name: str = "The backup storage",
        lock: BucketLock | None = None,
    ) -> None:
        self._store = store
        self._cipher = cipher
        self.name = name
        self.lock = lock

    @property
    def is_encrypted(self) -> bool:
        """Whether what is put is encrypted."""
        return self._cipher is not None

    def encrypted(self, cipher: Cipher) -> "Storage":
        """The same place, where objects are encrypted."""
        return Storage(self._store, cipher, self.name, self.lock)

    @property
    def places(self) -> "Sequence[Storage]":
        """Where an object may be read from, in this order."""
        return (self,)

    def put(self, key: str, content: bytes) -> None:
        """Write an object whole, or not at all."""
        self.put_stored(key, self._seal(key, content))

    def put_stored(self, key: str, content: bytes) -> None:
        """The same as the bytes are, encrypted or not."""
        try:
            obstore.put(self._store, key, content)
        except (BaseError, OSError) as error:
            raise self._failed(f"could not write {key}", error) from error

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
            raise ExistingObjectError(f"{self.name} has {key} already.") from error
        except (BaseError, OSError) as error:
            if not _is_unknown_to_server(error):
                raise self._failed(f"could not write {key}", error) from error
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

    def read(self, key: str, parse: Callable[[bytes], Parsed]) -> Parsed:
        """What `parse` makes of the object's content.

        Whoever knows what the content must be reads with this: where `parse` refuses it with an
        EngineError, a storage with a copy gives that of the copy.

        Raises:
            EngineError: what `get` and `parse` raise.
        """
        return parse(self.get(key))

    def get_stored(self, key: str) -> bytes:
        """The object's bytes as they lie there, encrypted or not."""
        try:
            return bytes(obstore.get(self._store, key).bytes())
        except (NotFoundError, FileNotFoundError) as error:
            raise MissingObjectError(f"{self.name} lacks {key}.") from error
        except (BaseError, OSError) as error:
            raise self._failed(f"could not read {key}", error) from error

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
            raise self._failed(f"could not delete {key}", error) from error

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """All objects below a prefix, in no order, without holding them all in memory."""
        try:
            for batch in obstore.list(self._store, prefix):
                for item in batch:
                    yield StoredObject(item["path"], item["size"], item["last_modified"])
        except (BaseError, OSError) as error:
            raise self._failed(f"could not list {prefix}", error) from error

    def folders(self) -> Sequence[str]:
        """The names of all folders at the top, in order."""
        try:
            found = obstore.list_with_delimiter(self._store)["common_prefixes"]
        except (BaseError, OSError) as error:
            raise self._failed("could not be listed", error) from error
        return sorted(name.rstrip("/") for name in found)

    def _seal(self, key: str, content: bytes) -> bytes:
        return self._cipher.seal(key, content) if self._cipher else content

    def _failed(self, what: str, error: Exception) -> StorageError:
        return StorageError(f"{self.name} {what}: {_reason(error)}")


def _is_unknown_to_server(error: Exception) -> bool:
    # obstore has no name for the 501 of a bucket that refuses the header If-None-Match.
    return isinstance(error, NotSupportedError) or "NotImplemented" in str(error)


def _reason(error: Exception) -> str:
    # What follows is for who develops obstore, and many lines long.
    return str(error).partition("\n\nDebug source")[0].strip()


def open_storage(url: str, name: str = "The backup storage") -> Storage:
    """The storage behind a URL, such as file:///var/lib/backups or s3://bucket/prefix?region=….

    Args:
        url: Its parameters are those of obstore for this kind of bucket (`region`, `endpoint`,
            `access_key_id`, …), those of CONNECTION and RETRIES, and `object_lock`.
        name: What messages call it.

    Raises:
        StorageError: the URL is not understood, or the folder cannot be made; no key is repeated.
    """
    parts = urlsplit(url)
    try:
        if parts.scheme == "file":
            return Storage(_open_folder(parts), name=name)
        return _open_bucket(parts, name)
    except (BaseError, OSError, ValueError) as error:
        raise StorageError(
            f"{name} {parts.scheme}:// cannot be opened: {_reason(error)}"
        ) from error


def place_of(url: str) -> str:
    """Which place a URL names, without what opens it."""
    parts = urlsplit(url)
    endpoint = _parameters(parts.query).get("endpoint", "")
    place = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return f"{place} at {endpoint}" if endpoint else place


def _parameters(query: str) -> dict[str, str]:
    # Not as a form is read: secret keys have plus signs, and are pasted as they are.
    pairs = [part.partition("=") for part in query.split("&") if part]
    return {unquote(name): unquote(value) for name, _, value in pairs}


def _number(name: str, value: str | int) -> int:
    if not str(value).isdecimal():
        raise ValueError(f"{name} is not a number")
    return int(value)


def _default(name: str) -> str:
    # What is given to obstore takes the place of all that it would find in the environment.
    return os.environ.get(f"AWS_{name.upper()}", CONNECTION[name])


def _open_folder(parts: SplitResult) -> Any:
    if OBJECT_LOCK in _parameters(parts.query):
        raise ValueError(f"{OBJECT_LOCK} is for buckets of S3, not for a folder")
    if parts.query:
        raise ValueError("a folder takes no parameters")
    folder = Path(unquote(parts.path))
    folder.mkdir(parents=True, exist_ok=True)
    return LocalStore(folder)


def _open_bucket(parts: SplitResult, name: str) -> Storage:
    config = _parameters(parts.query)
    connection = {key: config.pop(key, _default(key)) for key in CONNECTION}
    retries = {key: _number(key, config.pop(key, value)) for key, value in RETRIES.items()}
    lowered = {key.lower(): value for key, value in config.items()}
    lock = open_lock(parts, lowered, connection, retries["max_retries"] + 1, name)
    config.pop(OBJECT_LOCK, None)
    options: Any = {
        "config": config,
        "client_options": {key: value for key, value in connection.items() if value},
        "retry_config": {
            "max_retries": retries["max_retries"],
            "retry_timeout": timedelta(seconds=retries["retry_seconds"]),
        },
    }
    if parts.scheme in ("s3", "s3a") and f"AWS_{CHECKSUM.upper()}" not in os.environ:
        config.setdefault(CHECKSUM, "SHA256")
    if config.get(CHECKSUM) == NO_CHECKSUM:
        del config[CHECKSUM]
    store = from_url(urlunsplit(parts._replace(query="")), **options)
    return Storage(store, name=name, lock=lock)
