"""Values that only SQL can store arrive exactly, are found again, and are undone exactly."""

from typing import Any, NamedTuple

import psycopg
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from backups_portal.transfers.plan.selection import Choice, Rule
from restores.snapshot_loader import Target
from tests.transfers.conftest import empty
from tests.transfers.engine import Transfer, add_device

DEVICE = "a" * 24
NUMBERS = (
    *("NaN", "Infinity", "-Infinity", "-0.0", "0", "1e308", "5e-324", "9007199254740993", "0.1"),
    None,
)
TEXTS = (
    *("", "\x01", "\x02", "\x01\x02", "x" * 5000, "é𝄞", "e\u0301", "\ufffe\u200e", "'\"\\", "\\N"),
    *("\n\t\r", None),
)
TIMES = (
    *("0001-01-01Z", "9999-12-31 23:59:59.999999Z", "1970-01-01Z", "2000-01-01Z"),
    *("1969-12-31 23:59:59.999999Z", "2026-03-01 00:00:00.000001Z"),
)
CREATED = ("infinity", "-infinity", "4713-01-01 BC", "294276-12-31 23:59:59.999999Z", "2026-03-01Z")
GROUPS = ("", "g", "\x01", "\x02", "\\.", "'", "g" * 5000)
PLACES = (None, "(NaN,0)", "(Infinity,-Infinity)", "(-0.0,0)", "(0,0)", "(1e300,5e-324)")
METADATA = (
    *(None, '{"a":1,"a":2}', '{"n":' + "9" * 400 + "}", "null", '"\\ud800"', '{"x":"\\u0000"}'),
    *(' {"a" :1}', "1e400", "-0", "[" * 2000 + "]" * 2000),
)


class Row(NamedTuple):
    """A record in the text form that PostgreSQL reads."""

    variable: str
    unit: str | None
    time: str
    created_at: str
    number: str | None
    text: str | None
    group: str
    place: str | None
    metadata: str | None


def rows(numbers: tuple[str | None, ...], texts: tuple[str | None, ...]) -> st.SearchStrategy[Row]:
    return st.builds(
        Row,
        st.sampled_from(("t", "T", "\x01\x02")),
        st.sampled_from((None, "", "C")),
        *(st.sampled_from(values) for values in (TIMES, CREATED, numbers, texts)),
        *(st.sampled_from(values) for values in (GROUPS, PLACES, METADATA)),
    )


some = st.lists(rows(NUMBERS, (None,)) | rows((None,), TEXTS), max_size=12)
ADD_SERIES = """INSERT INTO series (device_id, variable, type, unit)
    VALUES (%s, %s, 'number', %s) ON CONFLICT DO NOTHING"""
ADD = """INSERT INTO variable (series_id, time, created_at, number_value, text_value, group_key,
        location, metadata)
    SELECT id, %s, %s, %s, %s, %s, %s, %s FROM series
    WHERE variable = %s AND unit IS NOT DISTINCT FROM %s"""


def insert(database: Target, records: list[Row]) -> None:
    with psycopg.connect(database.dsn) as connection:
        for variable, unit, *values in records:
            connection.execute(ADD_SERIES, [DEVICE, variable, unit])
            connection.execute(ADD, [*values, variable, unit])


def stored(database: Target, *, ids: bool = False) -> list[str]:
    """Return every record to the last bit."""
    number = "variable.id, series_id" if ids else "0, 0"
    with psycopg.connect(database.dsn) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        found: list[tuple[Any, ...]] = connection.execute(
            f"""SELECT {number}, series.variable, unit, time::text, variable.created_at::text,
                       float8send(number_value), text_value, group_key, point_send(location),
                       metadata::text
                FROM variable JOIN series ON series.id = series_id""".encode()
        ).fetchall()
    return sorted(map(repr, found))


@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    mine=some,
    theirs=some,
    shared=some,
    rule=st.sampled_from(Rule),
    batch_rows=st.sampled_from([1, 3, 1000]),
)
def test_a_move_brings_them_once_and_its_undoing_none_too_many(
    databases: tuple[Target, Target],
    mine: list[Row],
    theirs: list[Row],
    shared: list[Row],
    rule: Rule,
    batch_rows: int,
) -> None:
    source, target = databases
    empty(source, target)
    for database, records in ((source, mine + shared), (target, theirs + shared)):
        add_device(database, DEVICE, "Truck")
        insert(database, records)
    before, given_rows = stored(target, ids=True), stored(source)
    transfer = Transfer(source, target, Choice(rule=rule), batch_rows=batch_rows)
    planned = transfer.dry_run().outcome

    lines = transfer.run()

    assert all(line.is_equal for line in lines)
    for fate in ("add", "present", "conflict", "replace"):
        assert planned.rows(fate) == sum(line.fates[fate] for line in lines)
    if rule is Rule.ADD or not theirs + shared:
        assert len(stored(target)) == len(before) + len(given_rows)
        assert set(stored(target)) >= set(given_rows)
    if rule is not Rule.ADD:
        again = Transfer(source, target, Choice(rule=rule), batch_rows=batch_rows)
        assert again.dry_run().cost == 0
        assert again.run()[0].stored == 0
    assert transfer.undo().left == 0
    assert stored(target, ids=True) == before
