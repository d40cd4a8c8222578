"""The growth of a main database, as measured by its backups."""

from datetime import datetime
from typing import NamedTuple

from backups_portal.projects.models import Project
from snapshots.models import Snapshot

MAX_POINTS = 366


class Measured(NamedTuple):
    """What a backup measured in a main database; bytes are those of its rows."""

    taken_at: datetime
    logical_bytes: int
    rows: int | None


class Growth(NamedTuple):
    """The measured size of a main database's rows over time, oldest first."""

    sizes: list[tuple[datetime, int]]
    rows: list[tuple[datetime, int]]
    newest: Measured | None


def growth_of(project: Project) -> Growth:
    """Return the bytes and rows of the newest backups, at most a year's."""
    stored = Snapshot.objects.good().filter(project=project, logical_bytes__isnull=False)
    measured = stored.order_by("-taken_at").values_list("taken_at", "logical_bytes", "rows")
    found = list(measured[:MAX_POINTS])[::-1]
    return Growth(
        sizes=[(at, size) for at, size, _ in found],
        rows=[(at, rows) for at, _, rows in found if rows is not None],
        newest=Measured(*found[-1]) if found else None,
    )
