"""PostgreSQL and Python assign a moment to the same day, whatever the year."""

import datetime as dt

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapshots.engine.day_device_counts import chunks_of
from snapshots.engine.pg_timestamps import FIRST_CHUNK, LAST_CHUNK
from snapshots.engine.source_database import EPOCH, chunk_start, count_chunks
from tests.projectdatabases import Backups, Connection

FIRST = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
LAST = dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
# Rounding fails around midnight, in years far from 1970.
days = st.integers(FIRST_CHUNK, LAST_CHUNK).map(chunk_start)
edges = st.tuples(days, st.sampled_from([-1, 0, 1])).map(lambda edge: _beside(*edge))
moments = edges | st.datetimes(
    FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None), timezones=st.just(dt.UTC)
)


def _beside(day: dt.datetime, microseconds: int) -> dt.datetime:
    return day + microseconds * MICROSECOND if day > FIRST else day


def by_python(moment: dt.datetime) -> int:
    return (moment - EPOCH).days


def by_arrow(found: list[dt.datetime]) -> list[int]:
    times = pa.array(
        [(moment - EPOCH) // MICROSECOND for moment in found], pa.timestamp("us", "UTC")
    )
    return [int(chunk) for chunk in np.asarray(chunks_of(pa.table({"time": times})))]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(moments, min_size=30, max_size=60))
def test_every_moment_has_one_day(source: Connection, found: list[dt.datetime]) -> None:
    found = [FIRST, LAST, *found]
    query = """SELECT chunk_of(moment) FROM unnest(%s::timestamptz[])
               WITH ORDINALITY AS moment (moment, place) ORDER BY place"""
    expected = [by_python(moment) for moment in found]
    assert [chunk for (chunk,) in source.execute(query, [found])] == expected
    assert by_arrow(found) == expected


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Kiritimati"])
def test_the_sessions_time_zone_does_not_matter(source: Connection, zone: str) -> None:
    source.execute("SELECT set_config('TimeZone', %s, false)", [zone])
    row = source.execute(
        "SELECT chunk_of('9999-12-31 23:59:59.999999Z'), chunk_of('1969-12-31 23:59:59.999999Z')"
    )
    assert row.fetchone() == (LAST_CHUNK, -1)


@pytest.mark.parametrize(
    "moment", ["infinity", "-infinity", "0001-12-31 23:59:59.999999Z BC", "10000-01-01Z"]
)
def test_other_times_are_refused(source: Connection, moment: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        source.execute(
            "INSERT INTO variable (series_id, time, group_key) VALUES (1, %s, 'g')", [moment]
        )


def test_the_last_moments_of_far_days_are_in_backups(backups: Backups, source: Connection) -> None:
    """Each is alone, because reading a day for another row would include a wrongly marked one."""
    source.execute(
        """INSERT INTO variable (series_id, time, number_value, group_key)
           SELECT 1, timestamptz '0001-01-01Z' + n * interval '40 years', n, 'g'
           FROM generate_series(0, 249) AS n"""
    )
    backups.take()
    for moment in ("9998-12-31 23:59:59.999999Z", "9999-12-31 23:59:59.999999Z"):
        source.execute(
            "INSERT INTO variable (series_id, time, group_key) VALUES (1, %s, 'g')", [moment]
        )
        manifest = backups.take()
        assert not manifest.is_full
        rows = sum(segment.rows for segment in manifest.of("variable"))
        assert source.execute("SELECT count(*) FROM variable").fetchone() == (rows,)
    assert count_chunks(source)[LAST_CHUNK] == 1
    assert backups.take(full=True).untracked == ()
