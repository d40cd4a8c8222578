"""The app, and the checks of its settings before anything starts."""

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from backups_portal.lib.startup import SETTINGS


class SnapshotsConfig(AppConfig):
    """Daily snapshots."""

    name = "snapshots"

    def ready(self) -> None:
        register(check_storage_settings, SETTINGS)


def check_storage_settings(**_: object) -> list[CheckMessage]:
    """Report settings of the storages that would make the first backup fail."""
    from snapshots.engine.errors import StorageError
    from snapshots.storages.configured_storages import check_storages, copies_are_apart, master_keys

    errors: list[CheckMessage] = []
    try:
        master_keys()
    except ImproperlyConfigured as error:
        errors.append(Error(str(error), id="snapshots.E001"))
    if not copies_are_apart():
        text = "SNAPSHOT_COPY_STORAGE names the same place as SNAPSHOT_STORAGE: "
        errors.append(Error(f"{text}name another, or none.", id="snapshots.E002"))
    try:
        check_storages()
    except StorageError as error:
        errors.append(Error(str(error), id="snapshots.E003"))
    return errors
