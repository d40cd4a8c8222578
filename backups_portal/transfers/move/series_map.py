"""Map series of the source to those of the target, as arrays for SQL."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg import Connection

from backups_portal.lib.failure_causes import Cause
from backups_portal.projectdb.record_writer import make_series
from backups_portal.transfers.errors import DEVICE_GONE, TransferError
from backups_portal.transfers.plan.selection import Choice

# The names of a place's fields as arrays in SQL, in order.
ARRAYS = ("series", "lanes", "slots", "seeds", "targets")
MONTHS = {"month": 1, "quarter": 3}
# A series: variable, type, unit.
Series = tuple[str, str, str | None]


@dataclass(frozen=True)
class Lane:
    """A pair of devices between which records move.

    Attributes:
        number: Its index in the plan, which identifies it in SQL.
        keeps_from: The target refuses records before this time (immutable devices).
        room: How many more records the target's device may hold; None without a limit.
    """

    number: int
    source: str
    target: str
    is_mutable: bool = True
    keeps_from: datetime | None = None
    room: int | None = None


class Place(NamedTuple):
    """A series of one database, and its role in the transfer.

    A slot is a variable of a device, whatever its type and unit; together with time and group it is
    the key of a record. The seed makes digests depend on variable, type and unit.

    Attributes:
        target: On the source's side only: the series that gets its records; negative while that
            does not exist.
    """

    series: int
    lane: int
    slot: int
    seed: int
    target: int = 0


@dataclass(frozen=True)
class Side:
    """The series of one database."""

    places: list[Place]

    def of(self, lanes: set[int]) -> "Side":
        """Return a side with only the series of these lanes."""
        return Side([place for place in self.places if place.lane in lanes])

    def arrays(self) -> dict[str, list[int]]:
        """Return query parameters, named as in ARRAYS."""
        columns = zip(*self.places, strict=True) if self.places else ((),) * len(ARRAYS)
        return dict(zip(ARRAYS, map(list, columns), strict=True))


@dataclass(frozen=True)
class Routes:
    """Both sides of a transfer."""

    source: Side
    target: Side


def read_routes(
    source: Connection,
    target: Connection,
    lanes: Sequence[Lane],
    choice: Choice,
    *,
    make: bool,
) -> Routes:
    """Read the series of the chosen variables on both sides.

    Args:
        make: Create series that the target lacks; otherwise they get negative numbers.
    """
    wanted = _read(source, {lane.source: lane.number for lane in lanes}, choice)
    devices = {lane.target: lane.number for lane in lanes}
    if make:
        ids = {lane.number: lane.target for lane in lanes}
        make_series(target, [(ids[lane], *series) for _, lane, series in wanted])
    there = _read(target, devices, choice)
    known = {(lane, series): number for number, lane, series in there}
    slots: dict[tuple[int, str], int] = {}
    left = [
        Place(
            number,
            lane,
            slots.setdefault((lane, series[0]), len(slots)),
            _seed(series),
            known.get((lane, series), -number),
        )
        for number, lane, series in wanted
    ]
    right = [
        Place(number, lane, slots[lane, series[0]], _seed(series))
        for number, lane, series in there
        if (lane, series[0]) in slots
    ]
    return Routes(Side(left), Side(right))


def _seed(series: Series) -> int:
    text = "\0".join("\1" if part is None else part for part in series)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    # Odd, so that multiplying by it loses no bit of a hash.
    return int.from_bytes(digest, signed=True) | 1


def _read(
    connection: Connection, devices: dict[str, int], choice: Choice
) -> list[tuple[int, int, Series]]:
    variables = None if choice.variables is None else list(choice.variables)
    if not choice.moves_records:
        variables = []
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


def read_lanes(
    source: Connection,
    target: Connection,
    pairs: Sequence[tuple[str, str]],
    *,
    limit: int,
    now: datetime,
) -> list[Lane]:
    """Read the lanes between pairs of device ids.

    A device that is not yet in the target will have its properties in the source.

    Args:
        limit: The most records that a mutable device may hold; 0 means no limit.
    """
    ids = [device for _, device in pairs]
    found = {**_read_kinds(source, ids), **_read_kinds(target, ids)}
    held = _count_rows(target, ids) if limit else {}
    lanes = []
    for number, (known_as, device) in enumerate(pairs):
        if device not in found:
            raise TransferError(DEVICE_GONE, cause=Cause.REMOVED)
        kind, period, retention = found[device]
        is_mutable = kind == "mutable"
        lanes.append(
            Lane(
                number,
                known_as,
                device,
                is_mutable,
                None if is_mutable else _kept_since(now, period, retention),
                max(0, limit - held.get(device, 0)) if limit and is_mutable else None,
            )
        )
    return lanes


def _read_kinds(connection: Connection, ids: list[str]) -> dict[str, tuple[str, str, int]]:
    rows = connection.execute(
        "SELECT id::text, type, chunk_period, chunk_retention FROM device WHERE id = ANY(%s)",
        [ids],
    )
    return {device: (kind, period, retention) for device, kind, period, retention in rows}


def _count_rows(target: Connection, devices: list[str]) -> dict[str, int]:
    rows = target.execute(
        """SELECT device_id::text, count(*) FROM series JOIN variable ON series_id = series.id
           WHERE device_id = ANY(%s) GROUP BY 1""",
        [devices],
    )
    return dict(rows)


def _kept_since(now: datetime, period: str, retention: int) -> datetime:
    """Return the start of the oldest chunk that an immutable device keeps.

    Args:
        now: In UTC.
        period: day, week, month or quarter.
    """
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return today - timedelta(days=retention)
    if period == "week":
        return today - timedelta(days=today.weekday(), weeks=retention)
    length = MONTHS[period]
    month = today.year * 12 + (today.month - 1) // length * length - retention * length
    return today.replace(year=month // 12, month=month % 12 + 1, day=1)
