"""From the series of the source to those of the target, as arrays that SQL joins with."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import Connection

from backups_portal.transfers.choosing import Choice
from backups_portal.transfers.errors import TransferError
from backups_portal.transfers.retaining import kept_since

# A series: variable, type, unit.
Series = tuple[str, str, str | None]


@dataclass(frozen=True)
class Lane:
    """A pair of devices between which records move.

    Attributes:
        number: Its place in the plan; SQL calls the pair by it.
        keeps_from: Records before it the target refuses (immutable devices).
        room: How many more records the target's device takes; None without a limit.
    """

    number: int
    source: str
    target: str
    is_mutable: bool = True
    keeps_from: datetime | None = None
    room: int | None = None


@dataclass
class Side:
    """Series of one database: their numbers, devices (of lanes), slots and seeds, side by side.

    A slot is a variable of a device, whatever its type and unit: records are the same record when
    slot, time and group are. The seed makes digests depend on variable, type and unit.
    """

    series: list[int] = field(default_factory=list)
    lanes: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    # Of the source's side only: where its records go; negative while there is no such series.
    targets: list[int] = field(default_factory=list)

    def of(self, lanes: set[int]) -> "Side":
        """Only the series of these lanes."""
        chosen = [place for place, lane in enumerate(self.lanes) if lane in lanes]

        def pick(values: list[int]) -> list[int]:
            return [values[place] for place in chosen] if values else []

        return Side(
            pick(self.series),
            pick(self.lanes),
            pick(self.slots),
            pick(self.seeds),
            pick(self.targets),
        )

    def arrays(self) -> dict[str, list[int]]:
        """Parameters of a query."""
        return {
            "series": self.series,
            "lanes": self.lanes,
            "slots": self.slots,
            "seeds": self.seeds,
            "targets": self.targets,
        }


@dataclass(frozen=True)
class Routes:
    """Both sides of a transfer."""

    source: Side
    target: Side


def read_routes(
    source: Connection[Any],
    target: Connection[Any],
    lanes: Sequence[Lane],
    choice: Choice,
    *,
    make: bool,
) -> Routes:
    """The series of the chosen variables on both sides.

    Args:
        make: Make what the target lacks; else such series are called by negative numbers.
    """
    wanted = _read(source, {lane.source: lane.number for lane in lanes}, choice)
    devices = {lane.target: lane.number for lane in lanes}
    if make:
        _make(target, lanes, wanted)
    there = _read(target, devices, choice)
    known = {(lane, series): number for number, lane, series in there}
    slots: dict[tuple[int, str], int] = {}
    left, right = Side(), Side()
    for number, lane, series in wanted:
        slot = slots.setdefault((lane, series[0]), len(slots))
        _add(left, number, lane, slot, series)
        left.targets.append(known.get((lane, series), -number))
    for number, lane, series in there:
        if (slot_of := slots.get((lane, series[0]))) is not None:
            _add(right, number, lane, slot_of, series)
    return Routes(left, right)


def _add(side: Side, number: int, lane: int, slot: int, series: Series) -> None:
    side.series.append(number)
    side.lanes.append(lane)
    side.slots.append(slot)
    side.seeds.append(_seed(series))


def _seed(series: Series) -> int:
    text = "\0".join("\1" if part is None else part for part in series)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    # Odd, so that it keeps every bit of what it multiplies.
    return int.from_bytes(digest, signed=True) | 1


def _read(
    connection: Connection[Any], devices: dict[str, int], choice: Choice
) -> list[tuple[int, int, Series]]:
    variables = None if choice.variables is None else list(choice.variables)
    rows = connection.execute(
        """SELECT id, device_id::text, variable, type, unit FROM series
           WHERE device_id = ANY(%(devices)s)
             AND (%(variables)s::text[] IS NULL OR variable = ANY(%(variables)s::text[]))
           ORDER BY id""",
        {"devices": list(devices), "variables": variables},
    )
    return [
        (number, devices[device], (variable, kind, unit))
        for number, device, variable, kind, unit in rows
    ]


def _make(
    target: Connection[Any], lanes: Sequence[Lane], wanted: list[tuple[int, int, Series]]
) -> None:
    ids = {lane.number: lane.target for lane in lanes}
    values = [(ids[lane], *series) for _, lane, series in wanted]
    devices, variables, types, units = zip(*values, strict=True) if values else ((),) * 4
    target.execute(
        """INSERT INTO series (device_id, variable, type, unit)
           SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[])
           ON CONFLICT (device_id, variable, type, unit) DO NOTHING""",
        [list(devices), list(variables), list(types), list(units)],
    )


def read_lanes(
    source: Connection[Any],
    target: Connection[Any],
    pairs: Sequence[tuple[str, str]],
    *,
    limit: int,
    now: datetime,
) -> list[Lane]:
    """The lanes between pairs of device ids; what a device of the target refuses is asked of it.

    A device that is not in the target yet will be as it is in the source.

    Args:
        limit: How many records a mutable device may hold; 0 means any number.
    """
    ids = [device for _, device in pairs]
    found = {**_read_kinds(source, ids), **_read_kinds(target, ids)}
    held = _count_rows(target, ids) if limit else {}
    lanes = []
    for number, (known_as, device) in enumerate(pairs):
        if device not in found:
            raise TransferError("A device of the target was deleted in the meantime.")
        kind, period, retention = found[device]
        is_mutable = kind == "mutable"
        lanes.append(
            Lane(
                number,
                known_as,
                device,
                is_mutable,
                None if is_mutable else kept_since(now, period, retention),
                max(0, limit - held.get(device, 0)) if limit and is_mutable else None,
            )
        )
    return lanes


def _read_kinds(connection: Connection[Any], ids: list[str]) -> dict[str, tuple[str, str, int]]:
    rows = connection.execute(
        "SELECT id::text, type, chunk_period, chunk_retention FROM device WHERE id = ANY(%s)",
        [ids],
    )
    return {device: (kind, period, retention) for device, kind, period, retention in rows}


def _count_rows(target: Connection[Any], devices: list[str]) -> dict[str, int]:
    rows = target.execute(
        """SELECT device_id::text, count(*) FROM series JOIN variable ON series_id = series.id
           WHERE device_id = ANY(%s) GROUP BY 1""",
        [devices],
    )
    return dict(rows)
