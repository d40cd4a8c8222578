"""Convert PostgreSQL's timestamps, whose range exceeds Python's.

In a segment a moment is its microseconds since 1970, modulo 2^64: the most distant ones wrap around
to the other end, and back again when they are loaded.
"""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from backups_portal.projectdb.columns import POSTGRESQL_EPOCH

DAY = 86_400_000_000
# Chunks are days since 1970: those of the years 1 to 9999, the times that a variable may have.
FIRST_CHUNK, LAST_CHUNK = -719_162, 2_932_896
# Not the database's own chunk_of, which an older version may have created.
CHUNK_OF_TIME = sql.SQL("(time AT TIME ZONE 'UTC')::date - DATE '1970-01-01'")
# Days of 400 years, after which the calendar repeats.
CYCLE = 146_097
INFINITY, LIMIT = (1 << 63) - 1, 1 << 63
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class MicrosecondsLoader(Loader):
    """Reads a moment in binary form as the number that segments store."""

    format = Format.BINARY

    def load(self, data: Buffer) -> int:
        """Read microseconds since 1970, modulo 2^64."""
        return _around(int.from_bytes(data, "big", signed=True) + POSTGRESQL_EPOCH)


def moments_as_text(rows: pa.Table) -> pa.Table:
    """Replace timestamp columns by text that PostgreSQL reads as the same."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            numbers = pc.cast(rows[field.name], pa.int64()).to_pylist()
            texts = [None if number is None else moment_text(number) for number in numbers]
            rows = rows.set_column(place, field.name, pa.array(texts, pa.string()))
    return rows


def moment_text(number: int) -> str:
    """Write a segment's moment as PostgreSQL does in UTC."""
    known = _around(number - POSTGRESQL_EPOCH)
    if known in (INFINITY, -LIMIT):
        return "infinity" if known > 0 else "-infinity"
    days, rest = divmod(known + POSTGRESQL_EPOCH, DAY)
    cycles, day = divmod(days - FIRST_CHUNK, CYCLE)
    on = date.fromordinal(day + 1)
    year = on.year + 400 * cycles
    clock = (EPOCH + timedelta(microseconds=rest)).strftime("%H:%M:%S.%f")
    shown, era = (year, "") if year > 0 else (1 - year, " BC")
    return f"{shown:04d}-{on:%m-%d} {clock}+00{era}"


def _around(number: int) -> int:
    return (number + LIMIT) % (2 * LIMIT) - LIMIT
