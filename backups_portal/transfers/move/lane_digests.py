"""Count and digest records by lane, to compare rows without moving them.

A digest sums up 64-bit hashes of rows, so that order does not matter, times the seed of each row's
series; it covers everything except the id and the storage time. Rows are summed by series before
the seeds are applied, because joining every row costs more than hashing it. PostgreSQL's extended
hashes are the same in every version, since hash partitions depend on them. Hashing the time in UTC
gives the same as `timestamptz_hash_extended` of PostgreSQL 18, which older versions lack.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from backups_portal.transfers.move.series_map import Side

# Most records hold only a number, and constructing a ROW costs more than hashing it. A zone given
# by name would be looked up for each row. PostgreSQL hashes zero to the seed, and NULL in a ROW to
# 0, so rows with zeros get another seed, or a missing value or location would equal zero. All other
# rows keep their hashes, which are in the ledgers of unfinished transfers.
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
# Not in the WHERE clause, because the planner would assume that it matches next to nothing.
OF_THEM = "FILTER (WHERE v.xmin = ANY(%(xids)s::text[]::xid[]))"
DIGEST_SLICE = READ.format(digest=DIGEST, where=CHOSEN, only="")
COUNT_SLICE = READ.format(digest="0", where=CHOSEN, only="")
DIGEST_BATCHES = READ.format(digest=DIGEST, where=OF_BATCHES, only=OF_THEM)
BEGIN, END = "-infinity", "infinity"


@dataclass(frozen=True)
class Slice:
    """A range of time that is moved as one batch; open at a missing bound."""

    number: int
    since: datetime | None
    until: datetime | None

    def bounds(self) -> dict[str, object]:
        """Return the bounds as query parameters."""
        return {"since": self.since or BEGIN, "until": self.until or END}


@dataclass(frozen=True)
class Cell:
    """The rows of one lane: their number and the sum of their hashes."""

    rows: int = 0
    digest: int = 0

    def __add__(self, other: "Cell") -> "Cell":
        return Cell(self.rows + other.rows, self.digest + other.digest)

    def __sub__(self, other: "Cell") -> "Cell":
        return Cell(self.rows - other.rows, self.digest - other.digest)


Cells = dict[int, Cell]


def digest_rows(connection: Connection, side: Side, part: Slice) -> Cells:
    """Count and digest the records of each lane in a slice."""
    return _cells(connection, DIGEST_SLICE, side, part.bounds())


def count_rows(connection: Connection, side: Side, part: Slice) -> dict[int, int]:
    """Count the records of each lane in a slice."""
    cells = _cells(connection, COUNT_SLICE, side, part.bounds())
    return {lane: cell.rows for lane, cell in cells.items()}


def probe_rows(connection: Connection, side: Side, part: Slice) -> Cells:
    """Count and digest series by series, for a table that is being filled.

    It has neither statistics nor summarized block ranges yet, so otherwise each slice would read
    the whole table.
    """
    return _cells(connection, PROBE_SERIES, side, part.bounds())


def digest_batches(
    connection: Connection, side: Side, first: int, last: int, xids: list[int]
) -> Cells:
    """Count and digest the records of batches that are still unchanged.

    Args:
        first, last: The range of their numbers, in a table whose block ranges are summarized.
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
