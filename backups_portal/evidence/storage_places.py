"""Where backups are kept, and how they are protected there, as the settings have it now."""

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
        second: Where copies go; "" if there are none.
        stored: Backups of the period that are kept now.
        copied: Of these, the ones with a copy.
        locked: Of these, the ones that nobody can delete in storage before a day.
        key_id: Which master key wraps the project's key; "" if backups are not encrypted.
        reads_plain: Whether backups are read that were stored before encryption was turned on.
    """

    first: str
    second: str
    stored: int
    copied: int
    locked: int
    key_id: str
    reads_plain: bool


def places(backups: Sequence[DayBackup]) -> Places:
    """Count where the backups of a period are."""
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
