"""Parameters of the data routes, in every form that clients send."""

import pytest

from backups_portal.projectdb import record_reader
from tests.tagoio_api.conftest import Sensor

DAYS = ("2024-03-01", "2024-03-02", "2024-03-03")
# Noon of the second day, in milliseconds since 1970.
NOON = 1_709_380_800_000


@pytest.fixture
def days(sensor: Sensor) -> dict[str, str]:
    """Three records, a day apart; their ids by value."""
    sensor.post("/data", [{"variable": "t", "value": day, "time": day} for day in DAYS])
    return {record["value"]: record["id"] for record in sensor.get("/data")}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"start_date={NOON}", DAYS[2:]),
        (f"end_date={NOON}", DAYS[:2]),
        ("start_date=-100000000000", DAYS),
        # A date without hyphens is a date, not a number.
        ("start_date=20240302", DAYS[1:]),
    ],
)
def test_a_bound_may_be_in_milliseconds(
    sensor: Sensor, days: dict[str, str], query: str, found: tuple[str, ...]
) -> None:
    read = sensor.get(f"/data?ordination=ascending&{query}")
    assert tuple(record["value"] for record in read) == found


@pytest.mark.parametrize("query", ["start_date=1" + "0" * 15, "start_date=253402300800000"])
def test_milliseconds_beyond_the_calendar_are_refused(sensor: Sensor, query: str) -> None:
    assert sensor.call("GET", f"/data?{query}") == (400, "Invalid start date")


def test_ids_may_be_separated_by_commas(sensor: Sensor, days: dict[str, str]) -> None:
    some = ",".join(days[day] for day in DAYS[:2])
    assert {record["value"] for record in sensor.get(f"/data?ids={some}")} == set(DAYS[:2])


@pytest.mark.parametrize(
    "query", ["count", "sum&start_date=2024-01-01", "aggregate&interval=day&function=sum"]
)
@pytest.mark.parametrize("qty", ["0", "10001"])
def test_a_query_without_records_ignores_qty(sensor: Sensor, query: str, qty: str) -> None:
    sensor.post("/data", {"variable": "t", "value": 1, "time": "2024-03-01"})
    found = sensor.get(f"/data?query={query}&qty={qty}")
    assert found == 1 or found[0]["value"] == 1


def test_many_variables_together_have_a_limit(
    sensor: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_reader, "MAX_TOGETHER", 6)
    sensor.post("/data", [{"variable": name, "value": n} for name in "abc" for n in range(3)])
    names = "variables=a&variables=b"
    assert len(sensor.get(f"/data?{names}&qty=10000")) == 6
    status, message = sensor.call("GET", f"/data?{names}&variables=c&qty=10000")
    assert status == 400
    assert message == "These variables have more than 6 records in all: name fewer of them"
    assert len(sensor.get(f"/data?{names}&variables=c&qty=2")) == 6
    assert len(sensor.get(f"/data?{names}&variables=c&qty=10000&skip=0")) == 9
    monkeypatch.setattr(record_reader, "MAX_TOGETHER", 2)
    assert len(sensor.get(f"/data?{names}&query=last_item")) == 2
    assert sensor.call("GET", "/data?query=last_item")[0] == 400


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("query=default&ordination=asc", [1, 2, 3]),
        ("ordination=desc", [3, 2, 1]),
        ("query=last", [3]),
        ("query=first", [1]),
        ("query=first_location", [2]),
        ("series=g", [2]),
        ("detail=true&qty=1", [3]),
        *((f"query=conditional&value=2&ordination=asc&function={name}", found) for name, found in (
            *(("eq", [2]), ("ne", [1, 3]), ("gt", [3])),
            *(("gte", [2, 3]), ("lt", [1]), ("lte", [1, 2])),
        )),
    ],
)  # fmt: skip
def test_words_that_clients_and_their_documentation_use(
    sensor: Sensor, query: str, found: list[int]
) -> None:
    records = [{"variable": "t", "value": n, "time": DAYS[n - 1]} for n in (1, 2, 3)]
    records[1] |= {"group": "g", "location": {"lat": 1, "lng": 2}}
    sensor.post("/data", records)
    assert [record["value"] for record in sensor.get(f"/data?{query}")] == found
