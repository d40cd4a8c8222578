"""Records are converted to the database's form, or refused with the reason."""

from datetime import UTC, datetime
from typing import Any

import pytest

from backups_portal.projectdb.records import RecordError, parse_moment, parse_record

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def parse(**item: Any) -> Any:
    return parse_record({"variable": "t", **item}, now=NOW, group="g" * 24)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, ("number", 1.0, None)),
        (-0.5, ("number", -0.5, None)),
        (True, ("boolean", 1.0, None)),
        (False, ("boolean", 0.0, None)),
        ("0042", ("string", None, "0042")),
        ("", ("string", None, "")),
        (None, ("none", None, None)),
    ],
)
def test_the_type_of_a_value_survives(value: object, expected: tuple[object, ...]) -> None:
    record = parse(value=value)
    assert (record.type, record.number, record.text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-01T10:00:00.123456Z", datetime(2026, 3, 1, 10, 0, 0, 123000, UTC)),
        ("2026-03-01 10:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01T10:00:00-03:00", datetime(2026, 3, 1, 13, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        (1772359200123, datetime(2026, 3, 1, 10, 0, 0, 123000, UTC)),
        (datetime(2026, 3, 1, 10), datetime(2026, 3, 1, 10, tzinfo=UTC)),
    ],
)
def test_times_in_every_form(value: object, expected: datetime) -> None:
    assert parse_moment(value) == expected


@pytest.mark.parametrize("value", ["soon", "", True, [], 1e30, "2026-13-01"])
def test_what_is_no_time(value: object) -> None:
    with pytest.raises(RecordError, match="not a time"):
        parse_moment(value)


def test_a_time_is_named_in_a_hundred_characters() -> None:
    with pytest.raises(RecordError) as refused:
        parse_moment("x" * 1_000_000)
    assert len(refused.value.reason) < 120


def test_what_is_missing_is_filled_in() -> None:
    record = parse()
    assert (record.group, record.time, record.unit, record.location) == ("g" * 24, NOW, None, None)
    assert parse(serie="old name").group == "old name"
    assert parse(group="", serie="old name").group == "old name"


@pytest.mark.parametrize(
    "location",
    [
        {"lat": 23.5, "lng": -46.6},
        {"lat": "23.5", "lng": "-46.6"},
        {"type": "Point", "coordinates": [-46.6, 23.5]},
    ],
)
def test_locations_in_both_forms(location: dict[str, Any]) -> None:
    assert parse(location=location).location == (-46.6, 23.5)


def test_metadata_keeps_its_order_and_nulls() -> None:
    assert parse(metadata={"b": None, "a": [1, {"ü": 2}]}).metadata == '{"b":null,"a":[1,{"ü":2}]}'


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ({"variable": ""}, "variable"),
        ({"variable": 5}, "variable"),
        ({"variable": "x" * 101}, "100"),
        ({"value": {"a": 1}}, "value"),
        ({"value": float("nan")}, "finite"),
        ({"value": float("inf")}, "finite"),
        ({"value": 2**53 + 1}, "digits"),
        ({"value": 10**400}, "beyond"),
        ({"value": "\ud800"}, "Unicode"),
        ({"metadata": {"x": float("nan")}}, "JSON"),
        ({"metadata": {"x": "\ud800"}}, "Unicode"),
        ({"value": "x" * 6145}, "6144"),
        ({"value": "a\0b"}, "NUL"),
        ({"unit": "u" * 26}, "25"),
        ({"group": "g" * 101}, "100"),
        ({"location": {"lat": 91, "lng": 0}}, "90"),
        ({"location": {"lat": "north"}}, "location"),
        ({"location": "home"}, "location"),
        ({"location": {"lat": True, "lng": False}}, "location"),
        ({"location": {"coordinates": "12"}}, "location"),
        ({"location": {"coordinates": [False, 1]}}, "location"),
        ({"location": {"type": "Polygon", "coordinates": [1, 2]}}, "location"),
        ({"group": 0}, "group must be text"),
        ({"group": False}, "group must be text"),
        ({"group": []}, "group must be text"),
        ({"metadata": "text"}, "metadata"),
        ({"metadata": {"x": "y" * 10240}}, "10240"),
    ],
)
def test_what_cannot_be_stored(item: dict[str, Any], why: str) -> None:
    with pytest.raises(RecordError, match=why):
        parse(**item)


def test_large_integers_that_are_doubles() -> None:
    assert parse(value=2**60).number == 2.0**60
    assert parse(value=12 * 10**20).number == 1.2e21
