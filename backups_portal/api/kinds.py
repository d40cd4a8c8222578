"""What the generic routes need to know of a kind of resource."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from backups_portal.projectdb.catalogue import BY_NAME

Row = dict[str, Any]
TEXT, FLAG, ID, TAGS, MOMENT = "text", "flag", "id", "tags", "moment"
# Columns that are filtered alike, whichever kind they are of.
FILTERS = {
    "id": ID,
    "name": TEXT,
    "label": TEXT,
    "key": TEXT,
    "active": FLAG,
    "visible": FLAG,
    "tags": TAGS,
    "created_at": MOMENT,
    "updated_at": MOMENT,
    "last_input": MOMENT,
}


def as_is(row: Row) -> Row:
    """A row that is shown as it is kept."""
    return row


@dataclass(frozen=True)
class Kind:
    """A kind of resource: a table, and how clients see it.

    Clients see one flat object. Its keys are columns, or else keys of the column `settings`.

    Attributes:
        title: In messages: "Network Not Found".
        table: In the project's database.
        created: The key under which a creation answers the new id.
        listed: The fields of a list when the client names none; id and tags are always there.
        order: The column by which a list is ordered.
        names: What clients call a column, where that differs.
        hidden: Columns that no client sees.
        unkept: Columns that clients see, and backups leave out.
        filters: What kind of comparison each filter key makes, beside those of every kind.
        shape: Turns an object, complete or with some fields, into what clients are shown.
    """

    title: str
    table: str
    created: str
    listed: tuple[str, ...] = ("id", "name")
    order: str = "name"
    names: Mapping[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    unkept: tuple[str, ...] = ()
    filters: Mapping[str, str] = field(default_factory=dict)
    shape: Callable[[Row], Row] = as_is

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that clients see, `settings` included where the table has it."""
        kept = BY_NAME[self.table].columns
        return (*(name for name in kept if name not in self.hidden), *self.unkept)

    def column(self, key: str) -> str:
        """The column behind a client's key, or the key itself."""
        return next((name for name, shown in self.names.items() if shown == key), key)

    def filter_kinds(self) -> dict[str, str]:
        """How each filter key of this kind is compared."""
        known = {key: how for key, how in FILTERS.items() if self.column(key) in self.columns}
        return {**known, **self.filters}

    def show(self, row: Row) -> Row:
        """The object of a client behind a row."""
        flat = {**row.pop("settings", {}), **row}
        return self.shape({self.names.get(name, name): value for name, value in flat.items()})
