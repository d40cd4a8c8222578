"""Skip slices that the dry run has compared, while nothing changes.

Triggers mark every change of records in the transaction that makes it (tracking.sql). So a database
with the same marks as at the dry run also has the same records.
"""

from dataclasses import dataclass, field

from psycopg import Connection

from backups_portal.lib.json_types import JsonObject
from backups_portal.transfers.move.batches import CONFLICT, PRESENT, Outcome

# A backup deletes marks, but those written after it have another xmin, so the text differs.
MARKS = """SELECT concat_ws(' ', instance.marks_since, count(change_mark),
        sum(hashtextextended(change_mark.ctid::text, change_mark.xmin::text::bigint)))
    FROM instance LEFT JOIN change_mark ON true GROUP BY instance.marks_since"""


def read_marks(connection: Connection) -> str:
    """Return a text that changes whenever records change."""
    row = connection.execute(MARKS).fetchone()
    return str(row[0]) if row else ""


@dataclass(frozen=True)
class Settled:
    """Slices in which a move stores nothing, unless something changes.

    Attributes:
        numbers: The numbers of these slices in the plan.
        outcome: The result of the dry run for all of them.
        source_marks, target_marks: The marks of both databases at the dry run.
    """

    numbers: tuple[int, ...] = ()
    outcome: Outcome = field(default_factory=Outcome)
    source_marks: str = ""
    target_marks: str = ""

    def holds(self, source: Connection, target: Connection) -> bool:
        """Tell whether neither database has changed since the dry run."""
        now = read_marks(source), read_marks(target)
        return now == (self.source_marks, self.target_marks)

    def as_json(self) -> JsonObject:
        """Return plain values."""
        marks = {"source_marks": self.source_marks, "target_marks": self.target_marks}
        return {"numbers": list(self.numbers), "outcome": self.outcome.as_json(), **marks}

    @classmethod
    def from_json(cls, values: JsonObject | None) -> "Settled":
        """Read what `as_json` returned; plans of older versions have none."""
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

    Which records are too old or too many depends on the time and on other slices.
    """
    return {fate for fate, cells in outcome.fates.items() if cells} <= {PRESENT, CONFLICT}
