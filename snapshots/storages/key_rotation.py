"""Wrap the data keys of all projects with another master key."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from backups_portal.lib.loggers import get_logger
from backups_portal.projects.models import Project
from snapshots.engine.encryption import MasterKeys, ProjectCipher, data_keys
from snapshots.engine.errors import EngineError, MissingObjectError, StorageError
from snapshots.engine.layout import (
    PROBES,
    is_manifest,
    is_segment,
    manifest_folder,
    project_of,
    segment_folder,
)
from snapshots.engine.storage import ENCRYPTED, Storage, open_storage, place_of
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.storages.configured_storages import FIRST, SECOND, copy_place, has_copies
from snapshots.storages.storage_marker import check_copies, check_storage

log = get_logger(__name__)


@dataclass
class Rotated:
    """What was done in one storage.

    Attributes:
        name: The storage's name in messages.
        place: The storage's place, without its credentials.
        rewrapped: Data keys that are now wrapped with the first master key.
        current: Data keys that already were.
        encrypted: Objects that were not encrypted before.
        failed: By folder, why it could not be finished; "" stands for the storage itself.
        foreign: Folders that do not belong to the portal, and were left alone.
    """

    name: str
    place: str
    rewrapped: int = 0
    current: int = 0
    encrypted: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)

    @property
    def is_finished(self) -> bool:
        """Tell whether nothing in it needs any other key than the first one."""
        return not self.failed


def rotate_each(masters: MasterKeys) -> Iterator[Rotated]:
    """Rotate one storage after the other; safe to interrupt and to repeat.

    If `masters` reads plain objects, these are encrypted, which makes that permission obsolete.
    """
    # The first one first: a copy in progress checks its keys there for having been rewrapped.
    yield _rotate_storage(settings.SNAPSHOT_STORAGE, FIRST, masters)
    if has_copies():
        yield _rotate_storage(settings.SNAPSHOT_COPY_STORAGE, SECOND, masters)


def places_left_out() -> list[str]:
    """Name places with copies that are no longer in the settings."""
    copied = SnapshotCopy.objects.filter(state=SnapshotCopy.State.COPIED)
    known = [copy_place()] if has_copies() else []
    places = copied.exclude(place__in=known).order_by("place").values_list("place", flat=True)
    return list(places.distinct())


def _rotate_storage(url: str, name: str, masters: MasterKeys) -> Rotated:
    rotated = Rotated(name, place_of(url))
    try:
        storage = open_storage(url, name)
        check = check_storage if name == FIRST else check_copies
        # An empty folder would seem finished, while all keys are in the storage that it hides.
        check(storage)
        if storage.lock:
            # Before, because the run after a killed one finds its keys already rewrapped.
            _forget_locks(rotated, Project.objects.all())
        for folder in storage.folders():
            _rotate_folder(storage, folder, masters, rotated)
            if folder in rotated.failed:
                # If all of it is away, every other folder would wait for all retries, too.
                check(storage)
    except StorageError as error:
        log.error("keys could not be rotated: %s", name, error=error)
        rotated.failed[""] = str(error)
    return rotated


def _rotate_folder(storage: Storage, folder: str, masters: MasterKeys, rotated: Rotated) -> None:
    project_id = project_of(folder)
    if project_id is None and folder != PROBES:
        rotated.foreign.append(folder)
        return
    before = rotated.rewrapped + rotated.encrypted
    try:
        _rewrap_keys(storage, folder, project_id, masters, rotated)
        if project_id and masters.plain:
            _encrypt_objects(storage, project_id, masters, rotated)
    except EngineError as error:
        log.error("keys could not be rotated", folder=folder, error=error)
        rotated.failed[folder] = str(error)
    if project_id and rotated.rewrapped + rotated.encrypted > before:
        # Again, because locks may have been checked in the meantime.
        _forget_locks(rotated, Project.objects.filter(pk=project_id))


def _forget_locks(rotated: Rotated, projects: QuerySet[Project]) -> None:
    """Have locks checked again: rewritten objects have none."""
    if rotated.name == SECOND:
        SnapshotCopy.objects.filter(snapshot__project__in=projects).update(locked_until=None)
    else:
        Snapshot.objects.filter(project__in=projects).update(locked_until=None)


def _rewrap_keys(
    storage: Storage, folder: str, project_id: UUID | None, masters: MasterKeys, rotated: Rotated
) -> None:
    for key in data_keys(storage, folder):
        with _not_being_removed(project_id) as may:
            if may:
                _rewrap(storage, masters, key, rotated)


def _encrypt_objects(
    storage: Storage, project_id: UUID, masters: MasterKeys, rotated: Rotated
) -> None:
    # A snapshot in progress encrypts what it adds, so objects missing in the listing need nothing.
    sealing = storage.encrypted(ProjectCipher(storage, masters))
    for item in storage.list(segment_folder(project_id)):
        with _not_being_removed(project_id) as may:
            if may and is_segment(item.key):
                _encrypt(storage, sealing, item.key, rotated)
    for item in storage.list(manifest_folder(project_id)):
        with _not_expiring(item.key) as may:
            if may and is_manifest(item.key):
                _encrypt(storage, sealing, item.key, rotated)


def _rewrap(storage: Storage, masters: MasterKeys, name: str, rotated: Rotated) -> None:
    master, data_key = masters.unwrap(name, storage.get(name))
    if master == masters.current:
        rotated.current += 1
        return
    storage.put(name, masters.wrap(name, data_key))
    # Once the old master key is gone, an unreadable data key loses everything that it opens.
    if masters.unwrap(name, storage.get(name)) != (masters.current, data_key):
        raise StorageError(f"{storage.name} returned another key than was written {name}.")
    rotated.rewrapped += 1


def _encrypt(stored: Storage, sealing: Storage, key: str, rotated: Rotated) -> None:
    try:
        content = stored.get_stored(key)
    except MissingObjectError:
        # It was removed since the listing, by a sweep or a retried snapshot.
        return
    if not content.startswith(ENCRYPTED):
        sealing.put(key, content)
        rotated.encrypted += 1


@contextmanager
def _not_being_removed(project_id: UUID | None) -> Iterator[bool]:
    """Keep a project from being removed, or its objects would come back."""
    with transaction.atomic():
        rows = Project.objects.select_for_update(of=("self",))
        # Probes belong to no project.
        ours = rows.filter(pk=project_id) if project_id else rows.none()
        state = ours.values_list("state", flat=True).first()
        yield state != Project.State.REMOVED


@contextmanager
def _not_expiring(manifest: str) -> Iterator[bool]:
    """Keep a snapshot from expiring while its manifest is written again."""
    with transaction.atomic():
        rows = Snapshot.objects.select_for_update(of=("self",)).filter(manifest=manifest)
        state = rows.values_list("state", flat=True).first()
        yield state != Snapshot.State.EXPIRED
