"""Note until when rows are locked, unless an object was written again meanwhile.

Whoever writes an object again forgets the locks of its project before and behind it
(`lock_extension.forget_locks`), since the new version has none. So whoever locks leaves a mark
first, which the forgetting takes away, and notes only where the mark is still there.
"""

from datetime import datetime

from django.db.models import QuerySet
from django.utils import timezone

from snapshots.models import Snapshot, SnapshotCopy

Noted = QuerySet[Snapshot] | QuerySet[SnapshotCopy]


def mark(rows: Noted) -> datetime:
    """Mark rows as being locked; the mark is a moment that is over: no lock is relied on."""
    moment = timezone.now()
    rows.update(locked_until=moment)
    return moment


def note(rows: Noted, marked: datetime, until: datetime | None) -> bool:
    """Note until when rows are locked, where `marked` is still there; tell whether it was."""
    return bool(rows.filter(locked_until=marked).update(locked_until=until))
