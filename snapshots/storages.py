"""The storage that the settings name."""

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from snapshots.engine.encryption import MasterKeys, ProjectCipher
from snapshots.engine.storage import Storage, open_storage


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
    stored = open_storage(settings.SNAPSHOT_STORAGE)
    masters = master_keys()
    return stored.encrypted(ProjectCipher(stored, masters)) if masters else stored
