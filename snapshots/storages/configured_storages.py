"""The storages in the settings: the first one, and the one for copies."""

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from backups_portal.lib.loggers import get_logger
from snapshots.engine.encryption import MasterKeys, ProjectCipher
from snapshots.engine.errors import EngineError, StorageError
from snapshots.engine.fallback_storage import StorageWithCopy, UnopenedStorage
from snapshots.engine.storage import Storage, check_settings, open_storage, place_of

log = get_logger(__name__)

FIRST = "The backup storage"
SECOND = "The second backup storage"


def master_keys() -> MasterKeys | None:
    """Read the keys that snapshots are encrypted with; None if there are none.

    Raises:
        ImproperlyConfigured: SNAPSHOT_MASTER_KEYS cannot be parsed.
    """
    try:
        return MasterKeys.parse(settings.SNAPSHOT_MASTER_KEYS)
    except ValueError as error:
        raise ImproperlyConfigured(f"SNAPSHOT_MASTER_KEYS: {error}.") from error


def snapshot_storage() -> Storage:
    """Open the storage of snapshots, encrypted if there is a key.

    Raises:
        StorageError: it cannot be opened.
    """
    return _with_keys(open_storage(settings.SNAPSHOT_STORAGE))


def copy_storage() -> Storage | None:
    """Open the storage of copies; None if there is none.

    Raises:
        StorageError: it cannot be opened.
    """
    if not has_copies():
        return None
    return _with_keys(open_storage(settings.SNAPSHOT_COPY_STORAGE, SECOND))


def reading_storage() -> Storage:
    """Open the storage to read from, with the copy as the fallback.

    Raises:
        StorageError: it cannot be opened, and there are no copies.
    """
    if not has_copies():
        return snapshot_storage()
    return StorageWithCopy(
        _opened_or_not(settings.SNAPSHOT_STORAGE),
        _opened_or_not(settings.SNAPSHOT_COPY_STORAGE, SECOND),
        _log_copy_use,
    )


def check_storages() -> None:
    """Make sure that the settings can open both storages; contact neither.

    Raises:
        StorageError: one of them cannot be opened.
    """
    check_settings(settings.SNAPSHOT_STORAGE, FIRST)
    if has_copies():
        check_settings(settings.SNAPSHOT_COPY_STORAGE, SECOND)


def has_copies() -> bool:
    """Tell whether snapshots are copied to a second storage."""
    return bool(settings.SNAPSHOT_COPY_STORAGE)


def copies_are_apart() -> bool:
    """Tell whether copies, if any, are stored in another place than snapshots."""
    return not has_copies() or copy_place() != place_of(settings.SNAPSHOT_STORAGE)


def copy_place() -> str:
    """Name the place of the copies, without its credentials."""
    return place_of(settings.SNAPSHOT_COPY_STORAGE)


def _with_keys(stored: Storage) -> Storage:
    masters = master_keys()
    return stored.encrypted(ProjectCipher(stored, masters)) if masters else stored


def _opened_or_not(url: str, *name: str) -> Storage:
    try:
        return _with_keys(open_storage(url, *name))
    except StorageError as error:
        return UnopenedStorage(error)


def _log_copy_use(key: str, error: EngineError) -> None:
    log.warning("read from the copy", key=key, error=error)
