"""Notes of rows' locks, void if an object is written again meanwhile.

Writing an object again forgets the locks of its project, before and afterwards
(`lock_extension.forget_locks`), because the new version has none. Locking therefore first leaves a
mark, which forgetting removes, and notes the end only if the mark is still there.
"""

from datetime import datetime

from django.db.models import QuerySet
from django.utils import timezone

from snapshots.models import Snapshot, SnapshotCopy

Noted = QuerySet[Snapshot] | QuerySet[SnapshotCopy]


def mark(rows: Noted) -> datetime:
    """Mark rows as being locked with a time in the past, which claims no lock."""
    moment = timezone.now()
    rows.update(locked_until=moment)
    return moment


def note(rows: Noted, marked: datetime, until: datetime | None) -> bool:
    """Note until when rows are locked; False if the mark was removed."""
    return bool(rows.filter(locked_until=marked).update(locked_until=until))
