"""A batch: a slice of time of all lanes, moved in one transaction.

Counts and digests decide how a lane is handled: if the target has no records, rows stream straight
into its table; if both sides are equal, nothing moves; only the rest is staged in a temporary table
and judged row by row.
"""

from dataclasses import dataclass, field

from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb.catalogue import variable_scalars
from backups_portal.transfers.move.lane_digests import (
    ROW_HASH,
    Cell,
    Cells,
    Slice,
    count_rows,
    digest_rows,
    probe_rows,
)
from backups_portal.transfers.move.series_map import Lane, Routes
from backups_portal.transfers.move.slice_copy import COLUMNS, pipe_rows, stream_rows
from backups_portal.transfers.move.tracks import Track
from backups_portal.transfers.plan.selection import Rule

# The possible fates of a record, in the words of the report.
ADD, PRESENT, CONFLICT, REPLACE, REFUSED, FULL = FATES = (
    "add",
    "present",
    "conflict",
    "replace",
    "refused",
    "full",
)
STORED = (ADD, REPLACE)
STAGE = f"""CREATE TEMPORARY TABLE IF NOT EXISTS stage ON COMMIT DELETE ROWS AS
    SELECT series_id, 0 AS slot, 0 AS lane, {COLUMNS} FROM variable WITH NO DATA"""  # noqa: S608
# Rows with the same key are the same record if their series and values are equal, too.
OF_KEY = ("time", "created_at", "group_key", "id")
SAME = " AND ".join(
    f"{there} IS NOT DISTINCT FROM {here}"
    for there, here in zip(
        variable_scalars(without=OF_KEY, of="there"),
        variable_scalars(without=OF_KEY, of="stage"),
        strict=True,
    )
)
SAME_KEY = """there.slot = stage.slot AND there.time = stage.time
    AND there.group_key = stage.group_key"""
JUDGE = f"""CREATE TEMPORARY TABLE judged ON COMMIT DROP AS
    WITH there AS MATERIALIZED (
        SELECT v.*, s.slot
        FROM unnest(%(series)s::integer[], %(slots)s::integer[]) AS s (id, slot)
        JOIN variable v ON v.series_id = s.id
        WHERE v.time >= %(since)s AND v.time < %(until)s
    ), met AS (
        SELECT stage.ctid AS row, bool_or({SAME}) AS is_same
        FROM stage JOIN there ON {SAME_KEY} GROUP BY stage.ctid
    ), known AS (
        SELECT stage.*, met.is_same, lane.is_mutable, lane.room,
               coalesce(stage.time < lane.keeps_from, false) AS is_old,
               met.row IS NULL OR %(rule)s = 'add' AS is_new
        FROM stage LEFT JOIN met ON met.row = stage.ctid
        JOIN unnest(%(numbers)s::integer[], %(mutable)s::boolean[], %(keeps_from)s::timestamptz[],
                    %(rooms)s::bigint[]) AS lane (number, is_mutable, keeps_from, room)
             ON lane.number = stage.lane
    )
    SELECT known.*, CASE
        WHEN is_new AND is_old THEN 'refused'
        WHEN is_new AND room < row_number() OVER (
            PARTITION BY lane, is_new AND NOT is_old ORDER BY time) THEN 'full'
        WHEN is_new THEN 'add'
        WHEN is_same THEN 'present'
        WHEN %(rule)s = 'replace' AND is_mutable THEN 'replace'
        ELSE 'conflict' END AS fate
    FROM known"""  # noqa: S608 - constants of this file
KEEP_REPLACED = f"""
    WITH key AS (
        SELECT DISTINCT slot, time, group_key FROM judged WHERE fate = 'replace'
    ), gone AS (
        DELETE FROM variable there
        USING unnest(%(series)s::integer[], %(slots)s::integer[]) AS s (id, slot), key
        WHERE there.series_id = s.id AND s.slot = key.slot AND there.time = key.time
          AND there.group_key = key.group_key
          AND NOT EXISTS (SELECT FROM judged stage WHERE stage.slot = s.slot
              AND stage.time = there.time AND stage.group_key = there.group_key AND {SAME})
        RETURNING there.*, there.xmin AS xid
    )
    INSERT INTO transfer_replaced (transfer_id, batch, series_id, id, xid, {COLUMNS})
    SELECT %(transfer)s, %(batch)s, series_id, id, xid, {COLUMNS} FROM gone"""  # noqa: S608
STORE = f"""INSERT INTO variable (series_id, {COLUMNS})
    SELECT series_id, {COLUMNS} FROM judged WHERE fate IN ('add', 'replace')"""  # noqa: S608
COUNT = f"""SELECT lane, fate, sum(rows)::bigint, sum(digest * s.seed)
    FROM (
        SELECT series_id, lane, fate, count(*) AS rows, sum({ROW_HASH}) AS digest
        FROM judged v GROUP BY series_id, lane, fate
    ) AS found
    JOIN unnest(%(targets)s::integer[], %(seeds)s::bigint[]) AS s (id, seed) ON s.id = series_id
    GROUP BY lane, fate"""  # noqa: S608 - constants of this file


@dataclass
class Outcome:
    """The rows chosen for a batch, and their fates, by lane."""

    chosen: Cells = field(default_factory=dict)
    fates: dict[str, Cells] = field(default_factory=lambda: {fate: {} for fate in FATES})

    def put(self, fate: str, lane: int, cell: Cell) -> None:
        """Add a lane's rows with one fate."""
        self.fates[fate][lane] = self.fates[fate].get(lane, Cell()) + cell

    def rows(self, fate: str) -> int:
        """Count the rows of all lanes with this fate."""
        return sum(cell.rows for cell in self.fates[fate].values())

    @property
    def stored(self) -> int:
        """Count the rows that the target had to store."""
        return sum(map(self.rows, STORED))

    def as_json(self) -> dict[str, object]:
        """Return plain values; digests as text, too large for JSON's numbers."""

        def plain(cells: Cells) -> dict[str, list[object]]:
            return {str(lane): [cell.rows, str(cell.digest)] for lane, cell in cells.items()}

        fates = {fate: plain(cells) for fate, cells in self.fates.items() if cells}
        return {"chosen": plain(self.chosen), **fates}

    @classmethod
    def from_json(cls, values: JsonObject) -> "Outcome":
        """Read what `as_json` returned."""

        def cells(name: str) -> Cells:
            found = values.get(name, {})
            return {int(lane): Cell(rows, int(digest)) for lane, (rows, digest) in found.items()}

        return cls(cells("chosen"), {fate: cells(fate) for fate in FATES})


@dataclass(frozen=True)
class Work:
    """What all batches of a run have in common.

    Attributes:
        known: Lanes that had records in the target at the dry run.
    """

    routes: Routes
    lanes: list[Lane]
    rule: Rule
    known: frozenset[int]


def judge_batch(work: Work, track: Track, part: Slice) -> Outcome:
    """Return what moving a batch would do; the caller rolls back."""
    there = _read_target(work, track, part)
    source = work.routes.source
    # If the target has no records of a lane, counting the source's is enough.
    rest = {lane.number for lane in work.lanes} - there.keys()
    counts = count_rows(track.source, source.of(rest), part)
    chosen = {lane: Cell(rows) for lane, rows in counts.items()}
    chosen |= digest_rows(track.source, source.of(set(there)), part)
    outcome, _, staged = _sort(work, part, chosen, there)
    if staged:
        _stage(work, track, part, staged, outcome)
    return outcome


def move_batch(work: Work, track: Track, part: Slice, *, transfer: str) -> Outcome:
    """Move a slice within the caller's transaction in the target."""
    there = _read_target(work, track, part)
    source = work.routes.source
    # Rows that are stored in any case need no digest before they are read.
    fresh = {
        lane.number
        for lane in work.lanes
        if lane.number not in there and lane.room is None and _is_kept(lane, part)
    }
    added = stream_rows(track, source.of(fresh), part)
    rest = {lane.number for lane in work.lanes} - fresh
    chosen = digest_rows(track.source, source.of(rest), part)
    outcome, streamed, staged = _sort(work, part, chosen, there)
    stream_rows(track, source.of(streamed), part)
    for lane, cell in added.items():
        outcome.chosen[lane] = cell
        outcome.put(ADD, lane, cell)
    if staged:
        _stage(work, track, part, staged, outcome)
        target = work.routes.target.of(staged)
        track.target.execute(
            KEEP_REPLACED, {**target.arrays(), "transfer": transfer, "batch": part.number}
        )
        track.target.execute(STORE)
    return outcome


def _read_target(work: Work, track: Track, part: Slice) -> Cells:
    if work.rule is Rule.ADD:
        return {}
    side = work.routes.target
    rest = {lane.number for lane in work.lanes} - work.known
    return {
        **digest_rows(track.target, side.of(set(work.known)), part),
        **probe_rows(track.target, side.of(rest), part),
    }


def _sort(
    work: Work, part: Slice, chosen: Cells, there: Cells
) -> tuple[Outcome, set[int], set[int]]:
    """Sort lanes by count and digest into those to stream and those to stage."""
    outcome = Outcome(chosen)
    streamed, staged = set(), set()
    for lane, cell in outcome.chosen.items():
        if _takes_all(work.lanes[lane], part, cell) and (
            work.rule is Rule.ADD or lane not in there
        ):
            streamed.add(lane)
            outcome.put(ADD, lane, cell)
        elif work.rule is not Rule.ADD and there.get(lane) == cell:
            outcome.put(PRESENT, lane, cell)
        else:
            staged.add(lane)
    return outcome, streamed, staged


def _takes_all(lane: Lane, part: Slice, cell: Cell) -> bool:
    if lane.room is not None and cell.rows > lane.room:
        return False
    return _is_kept(lane, part)


def _is_kept(lane: Lane, part: Slice) -> bool:
    return lane.keeps_from is None or (part.since is not None and part.since >= lane.keeps_from)


def _stage(work: Work, track: Track, part: Slice, lanes: set[int], outcome: Outcome) -> None:
    source, target = work.routes.source.of(lanes), work.routes.target.of(lanes)
    track.target.execute(STAGE)
    pipe_rows(
        track,
        source,
        part,
        columns="s.target, s.slot, s.lane",
        into=f"COPY stage (series_id, slot, lane, {COLUMNS}) FROM STDIN (FORMAT binary)",
    )
    track.target.execute("ANALYZE stage")
    chosen = [work.lanes[lane] for lane in sorted(lanes)]
    track.target.execute(
        JUDGE,
        {
            **target.arrays(),
            **part.bounds(),
            "rule": work.rule.value,
            "numbers": [lane.number for lane in chosen],
            "mutable": [lane.is_mutable for lane in chosen],
            "keeps_from": [lane.keeps_from for lane in chosen],
            "rooms": [lane.room for lane in chosen],
        },
    )
    for lane, fate, rows, digest in track.target.execute(COUNT, source.arrays()):
        outcome.put(fate, lane, Cell(rows, int(digest)))
