"""Counts and digests of records by lane: what tells, without moving them, that rows are the same.

A digest is the sum of a 64-bit hash per row, so that order does not matter; it covers everything
but the id and when the row was stored. PostgreSQL's extended hashes are the same in every version,
because hash partitions depend on them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from backups_portal.transfers.routes import Side

ROW_HASH = """hash_record_extended(
    ROW(v.time, v.number_value, v.text_value, v.group_key, v.location[0], v.location[1],
        v.metadata::text), s.seed)"""
BEGIN, END = "-infinity", "infinity"


@dataclass(frozen=True)
class Slice:
    """A range of time that is moved as one batch; without a bound it is open."""

    number: int
    since: datetime | None
    until: datetime | None

    def bounds(self) -> dict[str, Any]:
        """Parameters of a query."""
        return {"since": self.since or BEGIN, "until": self.until or END}


@dataclass(frozen=True)
class Cell:
    """Rows of one lane: how many, and the sum of their hashes."""

    rows: int = 0
    digest: int = 0

    def __add__(self, other: "Cell") -> "Cell":
        return Cell(self.rows + other.rows, self.digest + other.digest)

    def __sub__(self, other: "Cell") -> "Cell":
        return Cell(self.rows - other.rows, self.digest - other.digest)


Cells = dict[int, Cell]


def digest_rows(connection: Connection[Any], side: Side, part: Slice) -> Cells:
    """Count and digest of each lane's records in a slice."""
    return _cells(connection, side, part, f"sum({ROW_HASH})")


def count_rows(connection: Connection[Any], side: Side, part: Slice) -> dict[int, int]:
    """How many records each lane has in a slice."""
    cells = _cells(connection, side, part, "0")
    return {lane: cell.rows for lane, cell in cells.items()}


def _cells(connection: Connection[Any], side: Side, part: Slice, digest: str) -> Cells:
    rows = connection.execute(
        f"""SELECT s.lane, count(*), {digest}
            FROM unnest(%(series)s::integer[], %(lanes)s::integer[], %(seeds)s::bigint[])
                 AS s (id, lane, seed)
            JOIN variable v ON v.series_id = s.id
            WHERE v.time >= %(since)s AND v.time < %(until)s
            GROUP BY s.lane""",  # noqa: S608 - both texts are constants of this file
        {**side.arrays(), **part.bounds()},
    )
    return {lane: Cell(count, int(total)) for lane, count, total in rows}
