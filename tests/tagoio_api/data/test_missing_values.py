"""A record without a value is never read as zero, however SQL has stored it."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.projectdatabases import Connection
from tests.tagoio_api.conftest import Sensor

FEW = examples(
    max_examples=4,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
MISSING = "missing"
SINCE = "start_date=2000-01-01"
NUMBERS = st.lists(st.sampled_from([None, 0.0, -2.0, 1.5]), min_size=1, max_size=6)
FLAGS = st.lists(st.sampled_from([None, 0.0, 1.0]), min_size=1, max_size=4)


def store(database: Connection, sensor: Sensor, kind: str, values: Sequence[float | None]) -> None:
    """Store only these records of one variable, a day apart."""
    database.execute("TRUNCATE variable")
    database.execute("DELETE FROM series WHERE device_id = %s", [sensor.device_id])
    (series,) = database.execute(
        "INSERT INTO series (device_id, variable, type) VALUES (%s, 'v', %s) RETURNING id",
        [sensor.device_id, kind],
    ).fetchone() or (0,)
    for day, value in enumerate(values):
        database.execute(
            "INSERT INTO variable (series_id, time, number_value, group_key)"
            " VALUES (%s, timestamptz '2026-03-01Z' + %s * interval '1 day', %s, 'g')",
            [series, day, value],
        )


def read(sensor: Sensor, query: str) -> list[Any]:
    return [one.get("value", MISSING) for one in sensor.get(f"/data?{query}")]


@FEW
@given(values=NUMBERS)
@example(values=[None, 0.0, -2.0, None])
@example(values=[None, None])
@example(values=[0.0, 0.0, None])
def test_numbers(database: Connection, sensor: Sensor, values: list[float | None]) -> None:
    store(database, sensor, "number", values)
    known = [value for value in values if value is not None]
    newest = list(reversed(values))
    assert read(sensor, "qty=50") == [MISSING if one is None else one for one in newest]
    assert sensor.get("/data?query=count") == len(values)
    assert read(sensor, "query=max") == ([max(known)] if known else [])
    assert read(sensor, "query=min") == ([min(known)] if known else [])
    assert read(sensor, "query=last_value") == known[-1:]
    assert read(sensor, "query=first_value") == known[:1]
    assert read(sensor, f"query=avg&{SINCE}") == ([fmean(known)] if known else [])
    assert read(sensor, f"query=sum&{SINCE}") == ([sum(known)] if known else [])
    for function in ("avg", "sum", "min", "max"):
        query = f"query=aggregate&{SINCE}&interval=day&function={function}"
        assert read(sensor, query) == [one for one in newest if one is not None]
    zeros = known.count(0)
    assert read(sensor, "query=conditional&function=eq&value=0") == [0] * zeros
    assert read(sensor, "value=0") == [0] * zeros


@FEW
@given(values=FLAGS)
@example(values=[None, 0.0, 1.0])
def test_booleans(database: Connection, sensor: Sensor, values: list[float | None]) -> None:
    store(database, sensor, "boolean", values)
    newest = [MISSING if one is None else one != 0 for one in reversed(values)]
    assert read(sensor, "qty=50") == newest
    assert read(sensor, "query=last_value") == [one for one in newest if one != MISSING][:1]
    assert read(sensor, "value=false") == [one for one in newest if one is False]
