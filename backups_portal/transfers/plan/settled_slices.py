"""Skip slices that the dry run has compared, while nothing changes.

Triggers mark every change of records in the transaction that makes it (tracking.sql). A database
that has the marks of the dry run has its records, too.
"""

from dataclasses import dataclass, field

from psycopg import Connection

from backups_portal.lib.json_types import JsonObject
from backups_portal.transfers.move.batches import CONFLICT, PRESENT, Outcome

# A backup deletes marks; those written after it have another xmin, so the text differs.
MARKS = """SELECT concat_ws(' ', instance.marks_since, count(change_mark),
        sum(hashtextextended(change_mark.ctid::text, change_mark.xmin::text::bigint)))
    FROM instance LEFT JOIN change_mark ON true GROUP BY instance.marks_since"""


def read_marks(connection: Connection) -> str:
    """Return a text that differs once records have changed."""
    row = connection.execute(MARKS).fetchone()
    return str(row[0]) if row else ""


@dataclass(frozen=True)
class Settled:
    """Slices of which a move stores nothing, unless something changes.

    Attributes:
        numbers: Which slices of the plan.
        outcome: What the dry run has found in all of them.
        source_marks, target_marks: Of the databases that it has read.
    """

    numbers: tuple[int, ...] = ()
    outcome: Outcome = field(default_factory=Outcome)
    source_marks: str = ""
    target_marks: str = ""

    def holds(self, source: Connection, target: Connection) -> bool:
        """Tell whether neither database has changed since."""
        now = read_marks(source), read_marks(target)
        return now == (self.source_marks, self.target_marks)

    def as_json(self) -> JsonObject:
        """Return plain values."""
        marks = {"source_marks": self.source_marks, "target_marks": self.target_marks}
        return {"numbers": list(self.numbers), "outcome": self.outcome.as_json(), **marks}

    @classmethod
    def from_json(cls, values: JsonObject | None) -> "Settled":
        """Read what `as_json` gave; plans of older versions have none."""
        if not values:
            return cls()
        return cls(
            tuple(values["numbers"]),
            Outcome.from_json(values["outcome"]),
            values["source_marks"],
            values["target_marks"],
        )


def is_settled(outcome: Outcome) -> bool:
    """Tell whether moving a slice stores nothing while nothing changes.

    What is refused, or too much, depends on the time and on other slices.
    """
    return {fate for fate, cells in outcome.fates.items() if cells} <= {PRESENT, CONFLICT}
