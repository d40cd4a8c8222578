"""Column types, as PostgreSQL and segments name them."""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class ColumnType(StrEnum):
    """A type, by the name that PostgreSQL's function format_type writes."""

    INTEGER = "integer"
    BIGINT = "bigint"
    DOUBLE = "double precision"
    MOMENT = "timestamp with time zone"
    TEXT = "text"
    JSON = "json"
    POINT = "point"

    @property
    def is_text(self) -> bool:
        """Tell whether values are text in a segment."""
        return self in (ColumnType.TEXT, ColumnType.JSON)


# All other types are text in a segment: names, ids, and what is cast to text.
ARROW_TYPES = {
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    ColumnType.INTEGER: pa.int32(),
    ColumnType.BIGINT: pa.int64(),
    ColumnType.DOUBLE: pa.float64(),
    ColumnType.POINT: pa.float64(),
    "bytea": pa.binary(),
    ColumnType.MOMENT: pa.timestamp("us", "UTC"),
}
# Drivers handle these better as text.
CAST_TO_TEXT = frozenset({ColumnType.JSON, "jsonb", "uuid"})
# Microseconds from 1970 to 2000, where PostgreSQL starts to count.
POSTGRESQL_EPOCH = 946_684_800_000_000


def arrow_type(kind: str) -> pa.DataType:
    """Return the Arrow type in a segment of a PostgreSQL type."""
    return ARROW_TYPES.get(kind, pa.string())


@dataclass(frozen=True)
class Column:
    """A column whose type the code depends on.

    Attributes:
        is_nullable: Whether rows may lack it.
        is_rare: Whether most rows do, so that it is read only if some row has it.
    """

    name: str
    type: ColumnType
    is_nullable: bool = False
    is_rare: bool = False

    @property
    def segment_names(self) -> tuple[str, ...]:
        """Name its columns in a segment; a point is two columns of doubles."""
        return ("longitude", "latitude") if self.type == ColumnType.POINT else (self.name,)

    def scalars(self, of: str = "") -> tuple[str, ...]:
        """Write expressions that SQL can compare: coordinates, JSON as text.

        Args:
            of: The table's alias in the query.
        """
        name = f"{of}.{self.name}" if of else self.name
        if self.type == ColumnType.POINT:
            return f"{name}[0]", f"{name}[1]"
        return (f"{name}::text" if self.type == ColumnType.JSON else name,)
