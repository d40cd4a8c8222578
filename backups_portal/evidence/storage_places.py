"""Where backups are stored, and how current settings protect them."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from backups_portal.evidence.backup_days import DayBackup
from snapshots.engine.storage import place_of
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.storages.configured_storages import copy_place, has_copies, master_keys


@dataclass(frozen=True)
class Places:
    """The storages, and how many of the period's backups are in them.

    Attributes:
        second: The storage of copies; "" if there is none.
        stored: The number of the period's backups that are still stored.
        copied: How many of these have a copy.
        locked: How many of these an object lock still protects from deletion.
        key_id: The id of the master key that wraps the project's key; "" if backups are not
            encrypted.
        reads_plain: Whether backups from before encryption was turned on can be read.
    """

    first: str
    second: str
    stored: int
    copied: int
    locked: int
    key_id: str
    reads_plain: bool


def places(backups: Sequence[DayBackup]) -> Places:
    """Count the backups of a period by storage and protection."""
    stored = [one for one in backups if one.state == Snapshot.State.COMPLETED]
    masters = master_keys()
    return Places(
        first=place_of(settings.SNAPSHOT_STORAGE),
        second=copy_place() if has_copies() else "",
        stored=len(stored),
        copied=sum(one.copy_state == SnapshotCopy.State.COPIED for one in stored),
        locked=sum(one.locked_until is not None for one in stored),
        key_id=masters.current if masters else "",
        reads_plain=masters.plain if masters else False,
    )
