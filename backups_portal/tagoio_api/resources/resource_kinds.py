"""Describe the kinds of resources to the generic routes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb.catalogue import BY_NAME
from backups_portal.projectdb.stored_json import as_object
from backups_portal.tagoio_api.envelope import ApiError

Row = JsonObject
TEXT, FLAG, ID, TAGS, MOMENT = "text", "flag", "id", "tags", "moment"
# Columns that every kind filters in the same way.
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
    """Return a row unchanged."""
    return row


@dataclass(frozen=True)
class Kind:
    """A kind of resource: a table, and how clients see it.

    Clients see one flat object. Its keys are columns, or else keys of the column `settings`.

    Attributes:
        title: Its name in messages: "Network Not Found".
        table: Its table in the project's database.
        created: The key of the new id in the answer to a creation.
        listed: The fields of a list if the client names none; id and tags are always included.
        order: The column by which a list is ordered.
        names: Clients' names of columns, if they differ.
        hidden: Columns that no client sees.
        unkept: Columns that clients see but backups leave out.
        filters: How each filter key is compared, in addition to FILTERS.
        shape: Turns an object, complete or with some fields, into its public form.
        missing: The message for an unknown id; made from the title by default.
        taken: The message if the name is already in use, with the object's keys in braces.
        public: An object that every project has without having created it. It is in neither the
            project's database nor its backups.
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
    missing: str = ""
    taken: str = ""
    public: Row | None = None

    @property
    def not_found(self) -> ApiError:
        """Build the error for an id that the project does not have."""
        return ApiError(self.missing or f"{self.title} Not Found", HTTPStatus.NOT_FOUND)

    @property
    def columns(self) -> tuple[str, ...]:
        """List the columns that clients see, with `settings` if there are any."""
        kept = BY_NAME[self.table].columns
        return (*(name for name in kept if name not in self.hidden), *self.unkept)

    def column(self, key: str) -> str:
        """Return the column of a client's key, which is the key itself by default."""
        return next((name for name, shown in self.names.items() if shown == key), key)

    def filter_kinds(self) -> dict[str, str]:
        """Return how each filter key of this kind is compared."""
        known = {key: how for key, how in FILTERS.items() if self.column(key) in self.columns}
        return {**known, **self.filters}

    def show(self, row: Row) -> Row:
        """Turn a row into the object that a client sees."""
        flat = {**as_object(row.pop("settings", {})), **row}
        return self.shape({self.names.get(name, name): value for name, value in flat.items()})
