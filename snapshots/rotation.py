"""Wrapping the data keys of all projects with another master key; no segment is touched."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import transaction

from backups_portal.projects.models import Project
from snapshots.engine.encryption import MasterKeys, ProjectCipher, keys_folder
from snapshots.engine.errors import EngineError, StorageError
from snapshots.engine.manifest import manifest_folder
from snapshots.engine.storage import ENCRYPTED, Storage, open_storage
from snapshots.locking import forget_copy_locks, forget_locks
from snapshots.models import Snapshot
from snapshots.storages import SECOND, has_copies

log = logging.getLogger(__name__)


@dataclass
class Rotated:
    """What was done in one folder of a storage.

    Attributes:
        place: Which storage, where it is not the first one.
        rewrapped: Data keys that are wrapped with the first master key now.
        current: Data keys that were so before.
        encrypted: Objects that were not encrypted, and are now.
        error: Why the folder could not be finished.
    """

    folder: str
    place: str = ""
    rewrapped: int = 0
    current: int = 0
    encrypted: int = 0
    error: str = ""


def rotate_each(masters: MasterKeys) -> Iterator[Rotated]:
    """Go through both storages folder by folder; safe to interrupt and to repeat.

    Where `masters` reads plain objects, they are encrypted: afterwards it need not any more.

    Raises:
        StorageError: the first storage cannot be listed. Of the second one this is an `error`.
    """
    # The first one first: a copy that is being made looks there for keys that were wrapped anew.
    yield from _rotate_folders(open_storage(settings.SNAPSHOT_STORAGE), masters, "")
    if not has_copies():
        return
    try:
        second = open_storage(settings.SNAPSHOT_COPY_STORAGE, SECOND)
        yield from _rotate_folders(second, masters, SECOND)
    except StorageError as error:
        log.exception("keys of the copies could not be rotated")
        yield Rotated("", SECOND, error=str(error))


def _rotate_folders(storage: Storage, masters: MasterKeys, place: str) -> Iterator[Rotated]:
    for folder in storage.folders():
        rotated = Rotated(folder, place)
        try:
            _rotate(storage, masters, rotated)
        except EngineError as error:
            log.exception("keys could not be rotated folder=%s", folder)
            rotated.error = str(error)
        if rotated.rewrapped or rotated.encrypted:
            _forget_locks(rotated)
        yield rotated


def _forget_locks(rotated: Rotated) -> None:
    """What was written again is not locked, where what it replaces was."""
    if not _is_project(rotated.folder):
        return
    if rotated.place:
        forget_copy_locks(UUID(rotated.folder))
    else:
        forget_locks(UUID(rotated.folder))


def _rotate(storage: Storage, masters: MasterKeys, rotated: Rotated) -> None:
    for item in storage.list(keys_folder(rotated.folder)):
        with _not_being_removed(rotated.folder) as may:
            if may:
                _rewrap(storage, masters, item.key, rotated)
    if not masters.plain:
        return
    # A snapshot that is being taken encrypts what it adds: what the listing lacks needs nothing.
    sealing = storage.encrypted(ProjectCipher(storage, masters))
    for item in storage.list(f"{rotated.folder}/segments/"):
        with _not_being_removed(rotated.folder) as may:
            if may:
                _encrypt(storage, sealing, item.key, rotated)
    for item in storage.list(manifest_folder(rotated.folder)):
        with _not_expiring(item.key) as may:
            if may:
                _encrypt(storage, sealing, item.key, rotated)


def _rewrap(storage: Storage, masters: MasterKeys, name: str, rotated: Rotated) -> None:
    master, data_key = masters.unwrap(name, storage.get(name))
    if master == masters.current:
        rotated.current += 1
        return
    storage.put(name, masters.wrap(name, data_key))
    rotated.rewrapped += 1


def _encrypt(stored: Storage, sealing: Storage, key: str, rotated: Rotated) -> None:
    content = stored.get_stored(key)
    if not content.startswith(ENCRYPTED):
        sealing.put(key, content)
        rotated.encrypted += 1


@contextmanager
def _not_being_removed(folder: str) -> Iterator[bool]:
    """Keep a project from being removed meanwhile, or what was destroyed would come back."""
    with transaction.atomic():
        rows = Project.objects.select_for_update(of=("self",)).filter(pk=folder)
        state = rows.values_list("state", flat=True).first() if _is_project(folder) else None
        yield state != Project.State.REMOVED


@contextmanager
def _not_expiring(manifest: str) -> Iterator[bool]:
    """The same for a snapshot and its manifest."""
    with transaction.atomic():
        rows = Snapshot.objects.select_for_update(of=("self",)).filter(manifest=manifest)
        state = rows.values_list("state", flat=True).first()
        yield state != Snapshot.State.EXPIRED


def _is_project(folder: str) -> bool:
    try:
        UUID(folder)
    except ValueError:
        return False
    return True
