"""Plan a transfer, and determine what it would do without doing it."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

import psycopg
from psycopg import Connection

from backups_portal.lib.json_types import JsonObject
from backups_portal.transfers.move.batches import (
    CONFLICT,
    FATES,
    PRESENT,
    REPLACE,
    Outcome,
    Work,
    judge_batch,
)
from backups_portal.transfers.move.device_map import Device, Match, match_devices
from backups_portal.transfers.move.device_settings import EACH_TAG, SettingsChanges, find_changes
from backups_portal.transfers.move.lane_digests import Slice
from backups_portal.transfers.move.new_tokens import count_tokens
from backups_portal.transfers.move.resource_copy import CREATED, REPLACED, Placement, plan_kind
from backups_portal.transfers.move.resource_rows import BY_KIND
from backups_portal.transfers.move.series_map import Routes, read_lanes, read_routes
from backups_portal.transfers.move.time_slices import Rows, cut_slices, join_idle
from backups_portal.transfers.move.tracks import Track
from backups_portal.transfers.plan.selection import Choice
from backups_portal.transfers.plan.settled_slices import Settled, is_settled, read_marks

# Batches that store nothing may be this many times as large.
IDLE_FACTOR = 10
# Called with the rows done and in total.
OnRows = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """The stored plan of a run, which continues with the same batches.

    Attributes:
        matches: Every chosen device of the source.
        slices: The batches.
        placements: Resources besides devices.
        outcome: The result of the dry run, by lane.
        tokens: The number of tokens that are created with new values.
        settled: Batches that store nothing unless something changes.
        settings: Tags and parameters that come back; None if they were not asked for.
    """

    matches: tuple[Match, ...]
    slices: tuple[Slice, ...]
    placements: tuple[Placement, ...] = ()
    outcome: Outcome = field(default_factory=Outcome)
    tokens: int = 0
    settled: Settled = field(default_factory=Settled)
    settings: SettingsChanges | None = None

    @property
    def moved(self) -> list[Match]:
        """List the devices whose records move, in the order of their lanes."""
        return [match for match in self.matches if match.target is not None]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Return the ids of these devices in source and target."""
        return [(match.source, match.target) for match in self.moved if match.target]

    @property
    def there(self) -> list[Match]:
        """List the devices that the target had."""
        return [match for match in self.moved if match.how != CREATED]

    @property
    def rows(self) -> int:
        """Count the chosen records."""
        return chosen_rows(self.outcome)

    @property
    def cost(self) -> int:
        """Count the records that the target will have to store."""
        return self.outcome.stored

    @property
    def known(self) -> frozenset[int]:
        """Return the lanes for which the target had records."""
        fates = [self.outcome.fates[fate] for fate in (PRESENT, CONFLICT, REPLACE)]
        return frozenset(lane for cells in fates for lane in cells)

    def renamed(self) -> dict[str, str]:
        """Map the ids of devices whose id in the target differs."""
        return {source: target for source, target in self.pairs if source != target}

    def as_done(self, placed: AbstractSet[tuple[str, str]]) -> "Plan":
        """Return the plan with the actual fates of devices and resources.

        Args:
            placed: Kind and target id of what was created or replaced. All others, or their keys,
                appeared in the target after the dry run, and were left alone.
        """
        matches = (
            replace(match, how="id")
            if match.how == CREATED and ("device", match.target) not in placed
            else match
            for match in self.matches
        )
        placements = (
            replace(one, fate=CONFLICT)
            if one.fate in (CREATED, REPLACED) and (one.kind, one.target) not in placed
            else one
            for one in self.placements
        )
        return replace(self, matches=tuple(matches), placements=tuple(placements))

    def as_json(self) -> JsonObject:
        """Return plain values, for the row of the transfer."""
        return {
            "matches": [asdict(match) for match in self.matches],
            "slices": [
                [part.since and part.since.isoformat(), part.until and part.until.isoformat()]
                for part in self.slices
            ],
            "placements": [asdict(placement) for placement in self.placements],
            "outcome": self.outcome.as_json(),
            "tokens": self.tokens,
            "settled": self.settled.as_json(),
            "settings": self.settings and asdict(self.settings),
        }

    @classmethod
    def from_json(cls, values: JsonObject) -> "Plan":
        """Read what `as_json` returned."""
        return cls(
            tuple(Match(**match) for match in values["matches"]),
            tuple(
                Slice(number, *(text and datetime.fromisoformat(text) for text in bounds))
                for number, bounds in enumerate(values["slices"])
            ),
            tuple(Placement(**placement) for placement in values["placements"]),
            Outcome.from_json(values["outcome"]),
            values["tokens"],
            Settled.from_json(values.get("settled")),
            SettingsChanges.from_json(values.get("settings")),
        )


@dataclass(frozen=True)
class Planning:
    """The options of planning.

    Attributes:
        limit: The most records that a mutable device may hold; 0 means no limit.
        on_rows: Called after each batch with the rows judged so far and in total.
    """

    limit: int
    now: datetime
    batch_rows: int
    on_rows: OnRows | None = None


def make_plan(source: Connection, target: Connection, choice: Choice, how: Planning) -> Plan:
    """Match devices, cut batches, and determine the fate of every row.

    Raises:
        psycopg.Error: a database does not respond.
    """
    matches = match_devices(
        _read_devices(source, choice, choice.devices),
        _read_devices(target, choice, None),
        unmatched=choice.unmatched,
    )
    draft = Plan(tuple(matches), ())
    lanes = read_lanes(source, target, draft.pairs, limit=how.limit, now=how.now)
    routes = read_routes(source, target, lanes, choice, make=False)
    days = _rows_by_day(source, routes, choice)
    slices = cut_slices(days, since=choice.since, until=choice.until, batch_rows=how.batch_rows)
    every = frozenset(lane.number for lane in lanes)
    work = Work(routes, list(lanes), choice.rule, every)
    marks = {"source_marks": read_marks(source), "target_marks": read_marks(target)}
    judged = _judge(work, Track(source, target), slices, how, sum(days.values()))
    slices, idle = join_idle(slices, judged.rows, most=IDLE_FACTOR * how.batch_rows)
    settled = Settled(tuple(idle), judged.settled, **marks)
    created = [match.source for match in matches if match.how == "created"]
    placements = tuple(
        placement
        for kind in choice.kinds
        for placement in plan_kind(source, target, BY_KIND[kind], choice.rule, draft.renamed())
    )
    return Plan(
        tuple(matches),
        tuple(slices),
        placements,
        judged.total,
        count_tokens(source, "device", created)
        + count_tokens(source, "analysis", _created(placements, "analysis")),
        settled,
        find_changes(source, target, draft.there, draft.renamed())
        if choice.brings_settings
        else None,
    )


def _created(placements: tuple[Placement, ...], kind: str) -> list[str]:
    return [item.source for item in placements if item.kind == kind and item.fate == "created"]


def _read_devices(
    connection: Connection, choice: Choice, ids: tuple[str, ...] | None
) -> list[Device]:
    rows = connection.execute(
        f"""SELECT device.id::text, device.name,
                  coalesce(array_agg(DISTINCT serie_number)
                           FILTER (WHERE serie_number IS NOT NULL), '{{}}'),
                  coalesce((SELECT tag ->> 'value' FROM {EACH_TAG} AS tag
                            WHERE tag ->> 'key' = %(tag)s LIMIT 1), '')
           FROM device LEFT JOIN token ON device_id = device.id
           WHERE %(ids)s::text[] IS NULL OR device.id = ANY(%(ids)s::text[])
           GROUP BY device.id ORDER BY device.id""".encode(),  # noqa: S608 - a constant
        {"tag": choice.tag, "ids": None if ids is None else list(ids)},
    )
    return [Device(key, name, tuple(serials), tag) for key, name, serials, tag in rows]


def _rows_by_day(source: Connection, routes: Routes, choice: Choice) -> dict[int, int]:
    bounds = Slice(0, choice.since, choice.until).bounds()
    rows = source.execute(
        """SELECT chunk_of(time), count(*)
           FROM variable WHERE series_id = ANY(%(series)s::integer[])
             AND time >= %(since)s AND time < %(until)s GROUP BY 1""",
        {"series": [place.series for place in routes.source.places], **bounds},
    )
    return dict(rows)


@dataclass
class _Judged:
    """The outcome of all slices and of settled ones, and the rows of each."""

    total: Outcome = field(default_factory=Outcome)
    settled: Outcome = field(default_factory=Outcome)
    rows: list[Rows] = field(default_factory=list)


def _judge(
    work: Work, track: Track, slices: list[Slice], how: Planning, rows_total: int
) -> _Judged:
    judged = _Judged()
    for part in slices:
        with track.target.transaction():
            outcome = judge_batch(work, track, part)
            take_room(work, outcome)
            add_outcome(judged.total, outcome)
            is_idle = is_settled(outcome)
            if is_idle:
                add_outcome(judged.settled, outcome)
            judged.rows.append(Rows(chosen_rows(outcome), is_idle))
            # Nothing is lost, because only temporary tables were written.
            raise psycopg.Rollback
        if how.on_rows:
            how.on_rows(chosen_rows(judged.total), rows_total)
    return judged


def chosen_rows(outcome: Outcome) -> int:
    """Count the chosen records."""
    return sum(cell.rows for cell in outcome.chosen.values())


def add_outcome(total: Outcome, part: Outcome) -> None:
    """Add the outcome of one batch to the total."""
    for lane, cell in part.chosen.items():
        total.chosen[lane] = total.chosen[lane] + cell if lane in total.chosen else cell
    for fate in FATES:
        for lane, cell in part.fates[fate].items():
            total.put(fate, lane, cell)


def take_room(work: Work, outcome: Outcome) -> None:
    """Subtract the records that a batch stored from the room of devices."""
    for lane, cell in outcome.fates["add"].items():
        room = work.lanes[lane].room
        if room is not None:
            work.lanes[lane] = replace(work.lanes[lane], room=room - cell.rows)
