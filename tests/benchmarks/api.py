"""Benchmark the projects' API against bare PostgreSQL, in one run on one project.

    python -m tests.benchmarks.api
    python -m tests.benchmarks.api --rows 200k --json

The API runs in this process: its WSGI application with one worker, complete except for the
network. It and its peer take turns; figures are medians.
"""

import secrets
import sys
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import orjson
from psycopg.rows import dict_row

from restores.snapshot_loader import Target
from tests.benchmarks.fleet import DAYS, START, Connection, Fleet, add_devices, built, scalar
from tests.benchmarks.harness import Goal, Samples, Say, conclude, divide, parser_of, prepared
from tests.benchmarks.servers import Client, Cluster, django_ready
from tests.projectdatabases import main_database, open_database

EMPTY = "empty request"
COPY, SEND = "COPY of 1,000 rows", "send 1,000 variables"
BARE_PAGE, PAGE = "bare query and orjson of 10,000 rows", "read 10,000 variables"
BARE_LAST, LAST = "bare indexed query of one row", "last value"
FEW, MANY = "list of 20 devices among 10", "list of 20 devices among 10,000"
QUERIES = {10: "queries among 10", 10_000: "queries among 10,000"}

DEVICE = f"{5:024x}"
BATCH = 1_000
WARM_UP = 3
INTO = "COPY variable (series_id, time, number_value, group_key) FROM STDIN"
SERIES = "SELECT id FROM series WHERE device_id = %s AND variable = 'temperature'"
PAGE_QUERY = """SELECT %(prefix)s || lpad(to_hex(variable.id), 16, '0') AS id, device_id AS device,
                 series.variable, number_value, text_value, unit, group_key AS "group", time,
                 location, metadata
          FROM variable JOIN series ON series.id = series_id
          WHERE device_id = %(device)s ORDER BY time DESC, variable.id DESC LIMIT 10000"""
LAST_QUERY = """SELECT id, time, number_value, group_key FROM variable
          WHERE series_id = %s ORDER BY time DESC LIMIT 1"""


def _last_ratio(samples: Samples) -> float | None:
    bare, empty = samples.median(f"{BARE_LAST} s"), samples.median(f"{EMPTY} s")
    base = None if bare is None or empty is None else bare + empty
    return divide(samples.median(f"{LAST} s"), base)


def _more_queries(samples: Samples) -> float | None:
    return samples.excess(QUERIES[10_000], QUERIES[10])


GOALS = (
    Goal(
        "sending 1,000 variables vs COPY: rows/s",
        (f"{COPY} s", f"{SEND} s"),
        0.7,
        0.9,
        more_is_better=True,
    ),
    Goal("reading 10,000 variables vs query and orjson", (f"{PAGE} s", f"{BARE_PAGE} s"), 2.5, 1.5),
    Goal("last value vs query and empty request", _last_ratio, 3),
    Goal("devices list: 10,000 devices vs 10", (f"{MANY} s", f"{FEW} s"), 1.5, 1.1),
    Goal("devices list: more queries for 10,000 devices", _more_queries, 0, unit="queries"),
)


class Batches:
    """Batches of one variable's newest readings, and ways to store them.

    They are made before the clock starts.
    """

    def __init__(self, api: Client, token: str, connection: Connection) -> None:
        self._api, self._token, self._connection = api, token, connection
        self._series = scalar(connection, SERIES, [DEVICE])
        self._numbers = count()

    def _records(self) -> list[tuple[datetime, float, str]]:
        """Return the next batch: times, values and the group that they share."""
        start = START + timedelta(days=DAYS, seconds=BATCH * next(self._numbers))
        group = secrets.token_hex(12)
        return [(start + timedelta(seconds=row), row / 8, group) for row in range(BATCH)]

    def copy(self, samples: Samples) -> None:
        rows = [(self._series, *record) for record in self._records()]
        with (
            samples.clock(COPY),
            self._connection.transaction(),
            self._connection.cursor() as cursor,
            cursor.copy(INTO) as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def send(self, samples: Samples) -> None:
        body = orjson.dumps([_as_sent(*record) for record in self._records()])
        with samples.clock(SEND):
            self._api.call("POST", "/data", body, HTTP_TOKEN=self._token)


def _as_sent(moment: datetime, value: float, group: str) -> dict[str, Any]:
    return {
        "variable": "temperature",
        "value": value,
        "unit": "C",
        "group": group,
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def read(source: Target, api: Client, token: str, samples: Samples, rounds: int) -> None:
    values = {"prefix": source.prefix, "device": DEVICE}
    last = "/data?variables=temperature&query=last_value"
    with open_database(source) as connection, connection.cursor(row_factory=dict_row) as cursor:
        series = scalar(connection, SERIES, [DEVICE])

        def bare_page() -> bytes:
            rows = cursor.execute(PAGE_QUERY, values).fetchall()
            return orjson.dumps({"status": True, "result": rows})

        def page() -> bytes:
            return api.get("/data?qty=10000", HTTP_TOKEN=token)

        if len(orjson.loads(bare_page())["result"]) != len(orjson.loads(page())["result"]):
            raise RuntimeError("the API and the bare query do not read the same rows")
        samples.take_turns(max(rounds // 2, 1), {BARE_PAGE: bare_page, PAGE: page}, WARM_UP)
        tasks = {
            EMPTY: lambda: api.get("/status"),
            BARE_LAST: lambda: connection.execute(LAST_QUERY, [series]).fetchone(),
            LAST: lambda: api.get(last, HTTP_TOKEN=token),
        }
        samples.take_turns(rounds * 5, tasks, WARM_UP)


def send(source: Target, api: Client, token: str, samples: Samples, rounds: int) -> None:
    with open_database(source) as connection:
        batches = Batches(api, token, connection)
        for number in range(WARM_UP + rounds):
            kept = samples if number >= WARM_UP else Samples()
            batches.copy(kept)
            batches.send(kept)
    for name in (COPY, SEND):
        samples.add(f"{name} rows/s", BATCH / (samples.median(f"{name} s") or 1))


def list_devices(apis: dict[int, Client], samples: Samples, rounds: int) -> None:
    path = "/device?amount=20&fields=id,name,tags&orderBy=name,asc"
    few, many = apis.values()
    tasks = {FEW: lambda: few.get(path), MANY: lambda: many.get(path)}
    samples.take_turns(rounds * 5, tasks, WARM_UP)
    for devices, api in apis.items():
        samples.add(QUERIES[devices], api.queries(path))


def run(cluster: Cluster, rows: int, rounds: int, say: Say) -> Samples:
    samples = Samples()
    with ExitStack() as stack:
        say(f"building a project of {rows:,} variables")
        source = stack.enter_context(built(cluster, Fleet(rows)))
        stack.enter_context(django_ready(cluster))
        from tests.benchmarks.portal import new_token, serve

        api, token = serve(source), new_token(source, DEVICE)
        say("reading")
        read(source, api, token, samples, rounds)
        say("sending")
        send(source, api, token, samples, rounds)
        say("listing devices")
        apis = {}
        for devices in QUERIES:
            empty = stack.enter_context(main_database(cluster.url))
            with open_database(empty) as connection:
                add_devices(connection, devices)
                connection.execute("VACUUM (ANALYZE) device")
            apis[devices] = serve(empty)
        list_devices(apis, samples, rounds)
    return samples


def main(arguments: list[str]) -> None:
    options = parser_of("benchmarks.api", __doc__, rows=5_000_000, rounds=40).parse_args(arguments)
    with prepared() as (cluster, machine, say):
        samples = run(cluster, options.rows, options.rounds, say)
    conclude(options, machine, samples, GOALS, f"{options.rows:,} variables, in this process")


if __name__ == "__main__":
    main(sys.argv[1:])
