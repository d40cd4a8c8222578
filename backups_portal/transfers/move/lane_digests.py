"""Count and digest records by lane, to compare rows without moving them.

A digest is the sum of a 64-bit hash per row, so that order does not matter, times the seed of the
row's series; it covers everything but the id and when the row was stored. Rows are summed by series
before the seeds come in: a join with every row costs more than the hashes. PostgreSQL's extended
hashes are the same in every version, because hash partitions depend on them: that of a moment in
UTC is what PostgreSQL 18 calls `timestamptz_hash_extended`, which older versions lack.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from backups_portal.transfers.move.series_map import Side

# Most records are a number and nothing else, and making a row of columns costs more than hashing.
# A zone by its name would be looked up for each row. PostgreSQL's hash of zero is the seed, and
# that of a missing value in a row 0: without another seed, no value and no place would be like
# zeros. All other rows keep the hash that the ledgers of transfers under way have of them.
ROW_HASH = """hashtextextended(v.group_key, timestamp_hash_extended(
    v.time AT TIME ZONE INTERVAL '0',
    CASE WHEN v.text_value IS NULL AND v.location IS NULL AND v.metadata IS NULL
    THEN coalesce(hashfloat8extended(v.number_value, 0), 1)
    ELSE hash_record_extended(ROW(v.number_value, v.text_value, v.location[0], v.location[1],
        v.metadata::text),
        CASE WHEN 0 IN (v.number_value, v.location[0], v.location[1]) THEN 1 ELSE 0 END) END))"""
SERIES = """unnest(%(series)s::integer[], %(lanes)s::integer[], %(seeds)s::bigint[])
    AS s (id, lane, seed)"""
IN_SLICE = "v.time >= %(since)s AND v.time < %(until)s"
SUMS = "SELECT s.lane, sum(found.rows)::bigint, sum(found.digest * s.seed)"
DIGEST = f"sum({ROW_HASH})"
READ = f"""{SUMS}
    FROM (
        SELECT series_id, count(*) {{only}} AS rows, {{digest}} {{only}} AS digest
        FROM variable v WHERE {{where}} GROUP BY series_id
    ) AS found JOIN {SERIES} ON s.id = found.series_id
    WHERE found.rows > 0 GROUP BY s.lane"""  # noqa: S608 - constants
PROBE_SERIES = f"""{SUMS}
    FROM {SERIES} CROSS JOIN LATERAL (
        SELECT count(*) AS rows, {DIGEST} AS digest FROM variable v
        WHERE v.series_id = s.id AND {IN_SLICE}
    ) AS found
    WHERE found.rows > 0 GROUP BY s.lane"""  # noqa: S608 - constants
CHOSEN = f"v.series_id = ANY(%(series)s::integer[]) AND {IN_SLICE}"
OF_BATCHES = "v.id BETWEEN %(first)s AND %(last)s"
# Not in the WHERE clause: the planner takes for granted that this leaves next to nothing.
OF_THEM = "FILTER (WHERE v.xmin = ANY(%(xids)s::text[]::xid[]))"
DIGEST_SLICE = READ.format(digest=DIGEST, where=CHOSEN, only="")
COUNT_SLICE = READ.format(digest="0", where=CHOSEN, only="")
DIGEST_BATCHES = READ.format(digest=DIGEST, where=OF_BATCHES, only=OF_THEM)
BEGIN, END = "-infinity", "infinity"


@dataclass(frozen=True)
class Slice:
    """A range of time that is moved as one batch; without a bound it is open."""

    number: int
    since: datetime | None
    until: datetime | None

    def bounds(self) -> dict[str, object]:
        """Return parameters of a query."""
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


def digest_rows(connection: Connection, side: Side, part: Slice) -> Cells:
    """Count and digest each lane's records in a slice."""
    return _cells(connection, DIGEST_SLICE, side, part.bounds())


def count_rows(connection: Connection, side: Side, part: Slice) -> dict[int, int]:
    """Count the records that each lane has in a slice."""
    cells = _cells(connection, COUNT_SLICE, side, part.bounds())
    return {lane: cell.rows for lane, cell in cells.items()}


def probe_rows(connection: Connection, side: Side, part: Slice) -> Cells:
    """Digest series by series, for a table that is being filled.

    It has neither statistics nor summarised block ranges yet, and would be read from its first row
    to its last for each slice.
    """
    return _cells(connection, PROBE_SERIES, side, part.bounds())


def digest_batches(
    connection: Connection, side: Side, first: int, last: int, xids: list[int]
) -> Cells:
    """Count and digest what batches have stored and nobody has changed since.

    Args:
        first, last: The numbers of their records, in a table whose block ranges are summarised.
        xids: The transactions that stored them.
    """
    values = {"first": first, "last": last, "xids": [str(xid) for xid in xids]}
    return _cells(connection, DIGEST_BATCHES, side, values)


def _cells(
    connection: Connection, statement: str, side: Side, values: Mapping[str, object]
) -> Cells:
    if not side.places:
        return {}
    rows = connection.execute(statement, {**side.arrays(), **values})
    return {lane: Cell(count, int(total)) for lane, count, total in rows}
