"""Distinguish the storage that holds the backups from an empty folder.

An unmounted folder is empty: what is written to it is missing in the right storage, and what is
deleted or encrypted in it remains unchanged there.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from django.conf import settings
from django.db.models import Q

from backups_portal.lib.loggers import get_logger
from backups_portal.projects.models import Project
from snapshots.engine.errors import (
    DamagedSnapshotError,
    EngineError,
    MissingObjectError,
    StorageError,
)
from snapshots.engine.layout import MARKER, PROBES
from snapshots.engine.storage import Storage, place_of
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.storages.configured_storages import copy_place, copy_storage, snapshot_storage

log = get_logger(__name__)
_apart: set[tuple[str, str]] = set()

CONTENT = b'{"holds": "backups"}'
# Without a marker, one of this many backups must be found.
LOOKED_FOR = 20
# Expired backups that have not been deleted yet.
HALF_REMOVED = Q(removed_at=None) | Q(
    project__state=Project.State.REMOVED, project__removed_at=None
)


def right_storage() -> Storage:
    """Open the first storage; see `check_storage`.

    Raises:
        StorageError: it cannot be opened, or is the wrong one.
    """
    storage = snapshot_storage()
    check_storage(storage)
    return storage


def right_copy_storage() -> Storage:
    """Open the second storage; see `check_copies`.

    Raises:
        StorageError: there is none, it cannot be opened, or it is the wrong one.
    """
    storage = copy_storage()
    if storage is None:
        raise StorageError("SNAPSHOT_COPY_STORAGE names no second storage.")
    check_copies(storage)
    return storage


def does_answer(*, copies: bool) -> bool:
    """Tell whether the first or second storage answers and is the right one."""
    try:
        (right_copy_storage if copies else right_storage)()
    except EngineError:
        return False
    return True


def check_storage(storage: Storage) -> None:
    """Check that it is the catalogue's storage, marking it on first use.

    Raises:
        StorageError: it is the wrong one, or cannot be read.
    """
    _check(storage, _wanted, "earlier backups")


@contextmanager
def check_storage_on_missing() -> Iterator[None]:
    """Check the storage itself if an object is missing or damaged.

    An unmounted folder lacks everything, and a website at the storage's address answers each
    request with a page: neither says anything about a snapshot. Can be used as a context manager or
    a decorator.

    Raises:
        StorageError: it is the wrong one.
    """
    try:
        yield
    except (MissingObjectError, DamagedSnapshotError):
        check_storage(snapshot_storage())
        raise


def check_copies(storage: Storage) -> None:
    """Check that it is the storage of the copies, marking it on first use.

    Raises:
        StorageError: it is the wrong one, or cannot be read.
    """
    _check(storage, _wanted_copies, "copies that were made in it")


def check_apart(first: Storage, second: Storage) -> None:
    """Make sure, once per process, that the two storages are different places.

    A link, a mount or a second endpoint gives the same place two addresses.

    Raises:
        StorageError: an object written to one is in both, or one of them is away.
    """
    places = (place_of(settings.SNAPSHOT_STORAGE), copy_place())
    if places in _apart:
        return
    key = f"{PROBES}/{secrets.token_hex(8)}"
    second.put_stored(key, CONTENT)
    try:
        is_in_both = first.has(key)
    finally:
        second.delete(key)
    if is_in_both:
        raise StorageError(
            f"{second.name} is the first one under another address, so nothing was copied. An "
            "operator needs to name another place."
        )
    _apart.add(places)


def _check(storage: Storage, wanted: Callable[[], Sequence[str]], what: str) -> None:
    if _is_marked(storage):
        return
    keys = wanted()
    is_known = any(map(storage.has, keys))
    if keys and not is_known:
        log.error(
            "%s has none of the %s: it may be an empty folder in place of the right one; if they "
            "are lost for good, an object %s there starts over",
            storage.name,
            what,
            MARKER,
        )
        raise StorageError(
            f"{storage.name} has none of the {what}, so nothing was written to it. An operator "
            "needs to check that it is the right one."
        )
    try:
        storage.put_stored(MARKER, CONTENT)
    except StorageError:
        if not is_known:
            raise
        # It is the right storage, even if it is full: expired objects must be removable.
        log.warning("%s cannot be marked", storage.name, exc_info=True)


def _wanted() -> Sequence[str]:
    stored = Snapshot.objects.completed().order_by("pk").values_list("manifest", flat=True)
    if found := list(stored[:LOOKED_FOR]):
        return found
    going = Snapshot.objects.filter(HALF_REMOVED, state=Snapshot.State.EXPIRED)
    manifests = going.exclude(manifest="").order_by("-taken_at").values_list("manifest", flat=True)
    return list(manifests[:LOOKED_FOR])


def _wanted_copies() -> Sequence[str]:
    # Including copies that failed since: in an empty folder, all of them do.
    copied = SnapshotCopy.objects.filter(copied_at__isnull=False, place=copy_place())
    wanted = copied.order_by("-copied_at").values_list("snapshot__manifest", flat=True)
    return list(wanted[:LOOKED_FOR])


def _is_marked(storage: Storage) -> bool:
    try:
        marker = storage.get_stored(MARKER)
    except MissingObjectError:
        return False
    if marker.lstrip().startswith(b"<"):
        raise StorageError(
            f"{storage.name} answers with a web page. An operator needs to check its address."
        )
    return True
