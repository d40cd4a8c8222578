"""Generate plausible readings of refrigerated trucks."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb.ids import new_group
from backups_portal.projectdb.record_writer import MAX_RECORDS

# A month has fewer than the 10,000 records that the CLI's `device-backup` requests at a time.
EVERY = timedelta(minutes=30)


@dataclass(frozen=True)
class Truck:
    """The parameters of a truck's readings; `number` seeds them."""

    number: int
    set_point: float
    latitude: float
    longitude: float
    has_location: bool


def trucks(count: int) -> list[Truck]:
    """Generate a fleet near Nuremberg: frozen goods, fresh goods, flowers."""
    random = np.random.default_rng(7)
    return [
        Truck(
            number=number,
            set_point=(-20.0, 4.0, 12.0)[number % 3],
            latitude=49.45 + float(random.normal(0, 0.8)),
            longitude=11.08 + float(random.normal(0, 1.2)),
            has_location=number % 5 == 0,
        )
        for number in range(1, count + 1)
    ]


def readings(truck: Truck, start: datetime, end: datetime) -> Iterator[list[JsonObject]]:
    """Yield the records of each reading from `start` until before `end`.

    The same truck and times always give the same values.
    """
    count = max(0, -((start - end) // EVERY))
    random = np.random.default_rng([truck.number, int(start.timestamp())])
    hours = (start.hour + start.minute / 60 + np.arange(count) * EVERY.total_seconds() / 3600) % 24
    working = (hours > 5) & (hours < 19)
    door = working & (random.random(count) < 0.12)
    defrost = np.floor(hours * 2) % 24 == truck.number % 24
    warming = np.convolve(door * 2.2 + defrost * 3.0, [1, 0.6, 0.3, 0.1])[:count]
    temperature = truck.set_point + warming + random.normal(0, 0.25, count)
    humidity = np.clip(72 + warming * 3 + random.normal(0, 2, count), 5, 100)
    battery = 12.4 + working * 1.3 + random.normal(0, 0.05, count)
    drift = np.cumsum(random.normal(0, 0.004, (count, 2)) * working[:, None], axis=0)
    for i in range(count):
        moment, group = start + i * EVERY, new_group()
        status = "defrosting" if defrost[i] else "door open" if door[i] else "cooling"
        place = (
            {
                "lat": round(truck.latitude + float(drift[i, 0]), 5),
                "lng": round(truck.longitude + float(drift[i, 1]), 5),
            }
            if truck.has_location
            else None
        )
        common = {"time": moment, "group": group}
        yield [
            {
                "variable": "temperature",
                "value": round(float(temperature[i]), 2),
                "unit": "°C",
                "location": place,
                **common,
            },
            {
                "variable": "humidity",
                "value": round(float(humidity[i]), 1),
                "unit": "%",
                **common,
            },
            {"variable": "door", "value": bool(door[i]), **common},
            {"variable": "battery", "value": round(float(battery[i]), 2), "unit": "V", **common},
            {
                "variable": "status",
                "value": status,
                "metadata": {"color": "orange"} if status != "cooling" else None,
                **common,
            },
        ]


def in_requests(parts: Iterator[list[JsonObject]]) -> Iterator[list[JsonObject]]:
    """Group readings into requests of at most `MAX_RECORDS` records."""
    request: list[JsonObject] = []
    for part in parts:
        if len(request) + len(part) > MAX_RECORDS:
            yield request
            request = []
        request += part
    if request:
        yield request
