"""Objects outside the databases, in a folder or a bucket, through obstore."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    NotSupportedError,
    UnknownConfigurationKeyError,
)
from obstore.store import LocalStore, ObjectStore

from backups_portal.lib.addresses import object_storage
from backups_portal.lib.addresses.object_storage import FOLDER, StorageAddress
from backups_portal.lib.addresses.url import AddressError
from backups_portal.lib.loggers import get_logger
from snapshots.engine.bucket_lock import BucketLock
from snapshots.engine.bucket_settings import read_settings
from snapshots.engine.errors import (
    DamagedSnapshotError,
    EncryptionError,
    ExistingObjectError,
    MissingObjectError,
    StorageError,
)
from snapshots.engine.layout import is_manifest
from snapshots.engine.storage_reasons import in_few_words, in_full, is_about_object

if TYPE_CHECKING:
    from obstore import GetResult

    from snapshots.engine.encryption import ProjectCipher

log = get_logger(__name__)

# The first bytes of an encrypted object; no Parquet file and no JSON begins with them.
ENCRYPTED = b"BPE\x01"
# The name of a temporary file: obstore's LocalStore renames it once all bytes are written.
STAGED = re.compile(r"[^#]+#\d+")
# A manifest of a billion rows has some 10 MB; a larger one could exhaust a worker's memory.
MAX_MANIFEST_BYTES = 256 << 20
Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it; the size is in bytes."""

    key: str
    size: int
    modified: datetime


class Storage:
    """A place for objects; a failure is a StorageError that names the object.

    Args:
        store: A store of obstore.
        cipher: Encrypts and decrypts objects; None: they are stored in plaintext.
        name: The storage's name in messages.
        lock: Locks objects of its bucket, if its URL asks for object lock.
    """

    def __init__(
        self,
        store: ObjectStore,
        cipher: "ProjectCipher | None" = None,
        name: str = "The backup storage",
        lock: BucketLock | None = None,
    ) -> None:
        self._store = store
        self._cipher = cipher
        self.name = name
        self.lock = lock

    @property
    def is_encrypted(self) -> bool:
        """Tell whether objects are encrypted when they are put."""
        return self._cipher is not None

    def encrypted(self, cipher: "ProjectCipher") -> "Storage":
        """Return the same storage with encryption."""
        return Storage(self._store, cipher, self.name, self.lock)

    @property
    def places(self) -> "Sequence[Storage]":
        """List the storages that an object may be read from, in this order."""
        return (self,)

    def put(self, key: str, content: bytes) -> None:
        """Write an object atomically: completely or not at all."""
        self.put_stored(key, self._seal(key, content))

    def put_stored(self, key: str, content: bytes) -> None:
        """Write bytes as they are, encrypted or not, atomically."""
        try:
            obstore.put(self._store, key, content)
        except (BaseError, OSError) as error:
            raise self._failed(f"could not write {key}", error) from error

    def put_new(self, key: str, content: bytes) -> None:
        """Write an object unless it exists; of two writers one succeeds.

        A bucket without conditional writes gets an ordinary write.

        Raises:
            ExistingObjectError: it exists and stays as it is; the caller may have written it.
        """
        content = self._seal(key, content)
        try:
            self._create(key, content)
        except ExistingObjectError:
            raise
        except StorageError as error:
            # The client does not retry a conditional write, because only its response may be lost.
            log.warning("writing an object again: %s", error)
            self._create(key, content)

    def _create(self, key: str, content: bytes) -> None:
        try:
            obstore.put(self._store, key, content, mode="create")
        except AlreadyExistsError as error:
            raise ExistingObjectError(f"{self.name} already has {key}.") from error
        except (BaseError, OSError) as error:
            if not _is_unknown_to_server(error):
                raise self._failed(f"could not write {key}", error) from error
            self.put_stored(key, content)

    def get(self, key: str) -> bytes:
        """Return the object's content.

        Raises:
            MissingObjectError: the object does not exist.
            EncryptionError: it cannot be decrypted, or should be encrypted and is not.
            DamagedSnapshotError: its bytes were changed, which encryption shows, or are too many.
            StorageError: it cannot be read.
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
        """Return what `parse` makes of the object's content.

        Use this whenever the content can be checked: if `parse` refuses it with an EngineError, a
        storage with a copy parses the copy's content instead. Content that is refused as damaged is
        read once more: it may have been cut or changed only on its way here.

        Raises:
            EngineError: as `get` and `parse` raise.
        """
        try:
            return parse(self.get(key))
        except DamagedSnapshotError as error:
            log.warning("%s is damaged, reading it again: %s", key, error)
        # After the error, which holds the first content.
        return parse(self.get(key))

    def get_stored(self, key: str) -> bytes:
        """Return the object's stored bytes, encrypted or not.

        Raises:
            MissingObjectError: the object does not exist.
            DamagedSnapshotError: it has the name of a manifest, but is too large to be one.
            StorageError: it cannot be read.
        """
        found = self._find(key)
        if is_manifest(key) and found.meta["size"] > MAX_MANIFEST_BYTES:
            raise DamagedSnapshotError(f"{key} has {found.meta['size']:,} bytes: no manifest.")
        try:
            return bytes(found.bytes())
        except (BaseError, OSError) as error:
            raise self._failed(f"could not read {key}", error) from error

    def has(self, key: str) -> bool:
        """Tell whether an object exists, without reading it."""
        try:
            self._find(key)
        except MissingObjectError:
            return False
        return True

    def _find(self, key: str) -> "GetResult":
        try:
            return obstore.get(self._store, key)
        except (NotFoundError, FileNotFoundError) as error:
            if not is_about_object(error):
                raise self._failed(f"could not read {key}", error) from error
            raise MissingObjectError(f"{self.name} lacks {key}.") from error
        except (BaseError, OSError) as error:
            raise self._failed(f"could not read {key}", error) from error

    def sizes(self, size: int) -> tuple[int, ...]:
        """Return the sizes that an object with `size` bytes may have in a listing."""
        return self._cipher.sizes(size) if self._cipher else (size,)

    def opens(self, key: str, stored: bytes) -> bool:
        """Tell whether stored bytes are a wrapped data key that can be opened."""
        return self._cipher is not None and self._cipher.opens(key, stored)

    def delete(self, key: str) -> None:
        """Remove an object; do nothing if it is gone already."""
        try:
            obstore.delete(self._store, key)
        except (NotFoundError, FileNotFoundError) as error:
            if not is_about_object(error):
                raise self._failed(f"could not delete {key}", error) from error
        except (BaseError, OSError) as error:
            raise self._failed(f"could not delete {key}", error) from error

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield all objects below a prefix, unordered, in bounded memory."""
        try:
            for batch in obstore.list(self._store, prefix):
                for item in batch:
                    yield StoredObject(item["path"], item["size"], item["last_modified"])
        except (BaseError, OSError) as error:
            raise self._failed(f"could not list {prefix}", error) from error

    def staged(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the temporary files of a folder, which listings hide.

        A bucket has none.

        Raises:
            StorageError: the folder cannot be read.
        """
        root = self._store.prefix if isinstance(self._store, LocalStore) else None
        if root is None:
            return
        try:
            for path in (Path(root) / prefix).rglob("*#*"):
                with suppress(FileNotFoundError):
                    found = path.stat()
                    if STAGED.fullmatch(path.name) and S_ISREG(found.st_mode):
                        modified = datetime.fromtimestamp(found.st_mtime, UTC)
                        yield StoredObject(str(path.relative_to(root)), found.st_size, modified)
        except OSError as error:
            raise self._failed(f"could not list {prefix}", error) from error

    def delete_staged(self, key: str) -> None:
        """Remove a temporary file that `staged` has yielded.

        Raises:
            StorageError: the file cannot be removed.
        """
        if isinstance(self._store, LocalStore) and self._store.prefix is not None:
            try:
                (Path(self._store.prefix) / key).unlink(missing_ok=True)
            except OSError as error:
                raise self._failed(f"could not delete {key}", error) from error

    def folders(self) -> Sequence[str]:
        """List the names of all top-level folders, sorted."""
        try:
            found = obstore.list_with_delimiter(self._store)["common_prefixes"]
        except (BaseError, OSError) as error:
            raise self._failed("could not be listed", error) from error
        return sorted(name.rstrip("/") for name in found)

    def _seal(self, key: str, content: bytes) -> bytes:
        return self._cipher.seal(key, content) if self._cipher else content

    def _failed(self, what: str, error: Exception) -> StorageError:
        log.warning("%s %s: %s", self.name, what, in_full(error))
        return StorageError(f"{self.name} {what}: {in_few_words(error)}.")


def _is_unknown_to_server(error: Exception) -> bool:
    # obstore has no error for the 501 of a bucket that refuses the header If-None-Match.
    return isinstance(error, NotSupportedError) or "NotImplemented" in str(error)


def open_storage(url: str, name: str = "The backup storage") -> Storage:
    """Open the storage at a URL, such as s3://bucket/prefix?region=….

    Args:
        url: Its parameters are obstore's for this kind of bucket (`region`, `endpoint`,
            `access_key_id`, …), and those of bucket_settings.py.
        name: The storage's name in messages.

    Raises:
        StorageError: the URL is invalid, or the folder cannot be made; the message has no key.
    """
    try:
        address = object_storage.parse(url)
        if address.scheme == FOLDER:
            return Storage(_open_folder(address), name=name)
        return _open_bucket(address, name)
    except (BaseError, OSError, ValueError) as error:
        # Suppress the error itself: it may contain a key that would reach a log.
        raise StorageError(f"{name} cannot be opened: {_why(error, url)}") from None


def check_settings(url: str, name: str) -> None:
    """Make sure that a storage can be opened, without touching it.

    Args: as `open_storage`.

    Raises:
        StorageError: it cannot; the message says what to change.
    """
    if object_storage.parse(url).scheme != FOLDER:
        open_storage(url, name)


def place_of(url: str) -> str:
    """Return the place that a URL names, without its credentials."""
    return object_storage.parse(url).place


def _why(error: Exception, url: str) -> str:
    """Say what is wrong with a storage's URL, without repeating its values."""
    if isinstance(error, AddressError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    reason, address = in_full(error), object_storage.parse(url)
    if isinstance(error, UnknownConfigurationKeyError):
        named = [name for name in address.parameters if f"'{name}'" in reason]
        if named and address.may_be_named(named[0]):
            return reason
        return f"one of its parameters is not valid for buckets of {address.scheme}://."
    for value in address.parameters.values():
        # Remove the value, which the library quotes if it cannot use it.
        reason = reason.replace(f'"{value}"', "what it has there")
    return reason


def _open_folder(address: StorageAddress) -> LocalStore:
    folder = Path(address.path)
    folder.mkdir(parents=True, exist_ok=True)
    return LocalStore(folder)


def _open_bucket(address: StorageAddress, name: str) -> Storage:
    settings = read_settings(address)
    lock = None
    if settings.lock:
        lock = BucketLock(settings.lock, settings, address.path.strip("/"), name)
    return Storage(settings.open_store(), name=name, lock=lock)
