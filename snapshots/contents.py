"""What a snapshot holds, in the words of the pages."""

from typing import NamedTuple

from backups_portal.projectdb.catalogue import TABLES


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
