"""The app, and the checks of its settings before anything starts."""

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from backups_portal.lib.startup import SETTINGS


class SnapshotsConfig(AppConfig):
    """Daily snapshots."""

    name = "snapshots"

    def ready(self) -> None:
        register(check_master_keys, SETTINGS)
        register(check_copy_storage, SETTINGS)
        register(check_storages, SETTINGS)


def check_master_keys(**_: object) -> list[CheckMessage]:
    """Report master keys that cannot be parsed, before a backup needs them."""
    from snapshots.storages.configured_storages import master_keys

    try:
        master_keys()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="snapshots.E001")]
    return []


def check_copy_storage(**_: object) -> list[CheckMessage]:
    """Report a second storage that is the first one."""
    from snapshots.storages.configured_storages import copies_are_apart

    if copies_are_apart():
        return []
    text = "SNAPSHOT_COPY_STORAGE names the same place as SNAPSHOT_STORAGE: name another, or none."
    return [Error(text, id="snapshots.E002")]


def check_storages(**_: object) -> list[CheckMessage]:
    """Report settings of a storage that would make the first backup fail."""
    from snapshots.engine.errors import StorageError
    from snapshots.storages.configured_storages import check_storages

    try:
        check_storages()
    except StorageError as error:
        return [Error(str(error), id="snapshots.E003")]
    return []
