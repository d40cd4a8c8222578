"""One measurement each: the API, and the bare statement that it is compared with."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from unittest.mock import patch

import orjson
import psycopg
from psycopg.rows import dict_row

from tests.benchmarks import apigoals as names
from tests.benchmarks.apisetup import Served, device_token
from tests.benchmarks.build import DAYS, START
from tests.benchmarks.cluster import Source
from tests.benchmarks.samples import Samples

DEVICE = f"{5:024x}"
BATCH = 1_000
WARM_UP = 3
COPY = "COPY variable (series_id, time, number_value, group_key) FROM STDIN"
PAGE = """SELECT %(prefix)s || lpad(to_hex(variable.id), 16, '0') AS id, device_id AS device,
                 series.variable, number_value, text_value, unit, group_key AS "group", time,
                 location, metadata
          FROM variable JOIN series ON series.id = series_id
          WHERE device_id = %(device)s ORDER BY time DESC, variable.id DESC LIMIT 10000"""
LAST = """SELECT id, time, number_value, group_key FROM variable
          WHERE series_id = %s ORDER BY time DESC LIMIT 1"""


def _clock(samples: Samples, name: str, task: Callable[[], object]) -> None:
    started = time.perf_counter()
    task()
    samples.add(name, time.perf_counter() - started)


def _in_turn(samples: Samples, rounds: int, **tasks: Callable[[], object]) -> None:
    """Each task once a round, so that what disturbs one disturbs its neighbour."""
    for task in tasks.values():
        for _ in range(WARM_UP):
            task()
    for _ in range(rounds):
        for name, task in tasks.items():
            _clock(samples, name, task)


def read_pages(source: Source, api: Served, samples: Samples, rounds: int) -> None:
    """The newest 10,000 records of a device."""
    token = device_token(source, DEVICE)
    with source.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:

        def bare() -> bytes:
            values = {"prefix": source.prefix, "device": DEVICE}
            rows = cursor.execute(PAGE, values).fetchall()
            return orjson.dumps({"status": True, "result": rows})

        def read() -> bytes:
            return api.call("GET", "/data?qty=10000", token=token)

        if len(orjson.loads(bare())["result"]) != len(orjson.loads(read())["result"]):
            raise RuntimeError("the API and the bare query do not read the same rows")
        _in_turn(samples, rounds, **{names.BARE_PAGE: bare, names.PAGE: read})


def read_last(source: Source, api: Served, samples: Samples, rounds: int) -> None:
    """The newest value of one variable."""
    token = device_token(source, DEVICE)
    with source.connect() as connection:
        row = connection.execute(
            "SELECT id FROM series WHERE device_id = %s AND variable = 'temperature'", [DEVICE]
        ).fetchone()
        series = row and row[0]
        path = "/data?variables=temperature&query=last_value"
        _in_turn(
            samples,
            rounds,
            **{
                names.EMPTY: lambda: api.call("GET", "/status"),
                names.BARE_LAST: lambda: connection.execute(LAST, [series]).fetchone(),
                names.LAST: lambda: api.call("GET", path, token=token),
            },
        )


class _Batches:
    """Batches of readings of one variable that come after all others."""

    def __init__(self) -> None:
        self._numbers = count()

    def records(self) -> list[tuple[datetime, float, str]]:
        """The next batch: times, values and the group that they share."""
        start = START + timedelta(days=DAYS, seconds=BATCH * next(self._numbers))
        group = secrets.token_hex(12)
        return [(start + timedelta(seconds=row), row / 8, group) for row in range(BATCH)]


def send_batches(source: Source, api: Served, samples: Samples, rounds: int) -> None:
    """1,000 records in a request, and as many rows in a transaction."""
    token = device_token(source, DEVICE)
    batches = _Batches()
    with source.connect() as connection:
        row = connection.execute(
            "SELECT id FROM series WHERE device_id = %s AND variable = 'temperature'", [DEVICE]
        ).fetchone()
        series = row[0] if row else None
        for number in range(WARM_UP + rounds):
            kept = samples if number >= WARM_UP else Samples()
            rows = [(series, *record) for record in batches.records()]
            _clock(kept, names.COPY, lambda rows=rows: _copy(connection, rows))  # type: ignore[misc]
            body = orjson.dumps([_as_sent(*record) for record in batches.records()])
            _clock(
                kept,
                names.SEND,
                lambda body=body: api.call("POST", "/data", token=token, body=body),  # type: ignore[misc]
            )
    for name in (names.COPY, names.SEND):
        rate = BATCH / (samples.median(name) or 1)
        samples.add(f"{name.removesuffix(' s')} rows/s", rate)


def _copy(connection: psycopg.Connection[Any], rows: list[tuple[Any, ...]]) -> None:
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(COPY) as copy:
        for row in rows:
            copy.write_row(row)


def _as_sent(moment: datetime, value: float, group: str) -> dict[str, Any]:
    return {
        "variable": "temperature",
        "value": value,
        "unit": "C",
        "group": group,
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def list_devices(
    few: tuple[Source, Served], many: tuple[Source, Served], samples: Samples, rounds: int
) -> None:
    """A page of devices of a project that has ten, and of one that has ten thousand."""
    path = "/device?amount=20&fields=id,name,tags&orderBy=name,asc"
    _fill(few[0], 10)
    _fill(many[0], 10_000)
    _in_turn(
        samples,
        rounds * 5,
        **{
            names.FEW: lambda: few[1].call("GET", path),
            names.MANY: lambda: many[1].call("GET", path),
        },
    )
    for (_, api), queries in ((few, names.FEW_QUERIES), (many, names.MANY_QUERIES)):
        with _counted() as statements:
            api.call("GET", path)
        samples.add(queries, len(statements))


def _fill(source: Source, size: int) -> None:
    with source.connect() as connection:
        connection.execute(
            """INSERT INTO device (id, name, type, tags)
               SELECT lpad(to_hex(number), 24, '0'), 'Truck ' || number, 'mutable', '[]'
               FROM generate_series(1, %s) AS number ON CONFLICT DO NOTHING""",
            [size],
        )
        connection.execute("VACUUM (ANALYZE) device")


@contextmanager
def _counted() -> Iterator[list[object]]:
    """The statements that are sent meanwhile, whichever connection they go through."""
    statements: list[object] = []
    execute = psycopg.Cursor.execute

    def counting(cursor: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        statements.append(query)
        return execute(cursor, query, *arguments, **options)

    with patch.object(psycopg.Cursor, "execute", counting):
        yield statements
