"""The storages that the settings name: the first one, and that of the copies."""

import logging

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from snapshots.engine.encryption import MasterKeys, ProjectCipher
from snapshots.engine.errors import EngineError, StorageError
from snapshots.engine.fallback import StorageWithCopy, UnopenedStorage
from snapshots.engine.storage import Storage, open_storage, place_of

log = logging.getLogger(__name__)

SECOND = "The second backup storage"


def master_keys() -> MasterKeys | None:
    """The keys that snapshots are encrypted with; None where they are not.

    Raises:
        ImproperlyConfigured: SNAPSHOT_MASTER_KEYS cannot be understood.
    """
    try:
        return MasterKeys.parse(settings.SNAPSHOT_MASTER_KEYS)
    except ValueError as error:
        raise ImproperlyConfigured(f"SNAPSHOT_MASTER_KEYS: {error}.") from error


def snapshot_storage() -> Storage:
    """Where snapshots are stored, encrypted where there is a key to do it with.

    Raises:
        StorageError: it cannot be opened.
    """
    return _with_keys(open_storage(settings.SNAPSHOT_STORAGE))


def copy_storage() -> Storage | None:
    """Where copies of snapshots are; None where there are none.

    Raises:
        StorageError: it cannot be opened.
    """
    if not has_copies():
        return None
    return _with_keys(open_storage(settings.SNAPSHOT_COPY_STORAGE, SECOND))


def reading_storage() -> Storage:
    """Where stored snapshots are read: what the first storage does not give comes from the copy.

    Raises:
        StorageError: it cannot be opened, and there are no copies.
    """
    if not has_copies():
        return snapshot_storage()
    return StorageWithCopy(
        _opened_or_not(settings.SNAPSHOT_STORAGE),
        _opened_or_not(settings.SNAPSHOT_COPY_STORAGE, SECOND),
        _tell,
    )


def has_copies() -> bool:
    """Whether snapshots are copied to a second storage."""
    return bool(settings.SNAPSHOT_COPY_STORAGE)


def copies_are_apart() -> bool:
    """Whether copies, where there are any, are in another place than what they are copies of."""
    return not has_copies() or copy_place() != place_of(settings.SNAPSHOT_STORAGE)


def copy_place() -> str:
    """Which place copies go to, without what opens it."""
    return place_of(settings.SNAPSHOT_COPY_STORAGE)


def _with_keys(stored: Storage) -> Storage:
    masters = master_keys()
    return stored.encrypted(ProjectCipher(stored, masters)) if masters else stored


def _opened_or_not(url: str, *name: str) -> Storage:
    try:
        return _with_keys(open_storage(url, *name))
    except StorageError as error:
        return UnopenedStorage(error)


def _tell(key: str, error: EngineError) -> None:
    log.warning("read from the copy key=%s, because: %s", key, error)
