"""What a snapshot holds, in the words of the pages."""

from collections.abc import Iterable
from typing import NamedTuple

from backups_portal.projectdb.catalogue import BY_NAME, TABLES
from snapshots.engine.difference import TableChange


class Content(NamedTuple):
    """The rows of one table, under the name that people know them by."""

    label: str
    rows: int


def contents_of(table_rows: dict[str, int]) -> list[Content]:
    """The tables that have rows, in the catalogue's order; those it does not know come last.

    Args:
        table_rows: rows by table name, as snapshots and restores record them.
    """
    labels = {table.name: table.label for table in TABLES}
    place = {name: number for number, name in enumerate(labels)}
    names = sorted(table_rows, key=lambda name: (place.get(name, len(place)), name))
    return [Content(labels.get(name, name), table_rows[name]) for name in names if table_rows[name]]


class ChangedContent(NamedTuple):
    """A table whose rows are not the same, under the name that people know it by."""

    label: str
    change: TableChange


def labels_of(changes: Iterable[TableChange]) -> list[ChangedContent]:
    """The changes of tables with their names."""
    return [
        ChangedContent(
            BY_NAME[change.table].label if change.table in BY_NAME else change.table, change
        )
        for change in changes
    ]
