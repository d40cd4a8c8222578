"""Clients notice as little as possible of a server's bad day."""

import json
import socket
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import psycopg
from django.db import connection

from tests.contract.conftest import Endpoint
from tests.contract.http import ask

Pair = tuple[Endpoint, Endpoint]
THREADS = 4


def ask_often(one: Endpoint) -> set[int]:
    """Return the statuses of more requests than the server has threads."""
    with ThreadPoolExecutor(THREADS) as threads:
        asked = threads.map(
            lambda _: ask(one.url, "GET", "/device", token=one.token)[0], range(3 * THREADS)
        )
        return set(asked)


def test_connections_that_a_server_has_ended_are_replaced(endpoints: Pair) -> None:
    one = endpoints[0]
    assert ask_often(one) == {200}
    connection.ensure_connection()
    ended = (
        # Waits (ms) until they have ended: a backend that was only signalled may answer once more.
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
        " WHERE datname = ANY(%s) AND pid <> ALL(%s)"
    )
    mine = [connection.connection.info.backend_pid]
    databases = [connection.settings_dict["NAME"], one.project.database]
    with psycopg.connect(one.dsn) as database:
        mine.append(database.info.backend_pid)
        with connection.cursor() as cursor:
            cursor.execute(ended, [databases, mine])
            assert cursor.fetchone()[0] >= 2
    assert ask_often(one) == {200}


def test_many_variables_fit_into_one_address(endpoints: Pair) -> None:
    one = endpoints[0]
    _, made = ask(one.url, "POST", "/device", {"name": "Truck"}, token=one.token)
    names = [f"temperature_{number}" for number in range(200)]
    body = [{"variable": name, "value": 1} for name in names]
    ask(one.url, "POST", "/data", body, token=made["token"])
    query = urllib.parse.urlencode([("variables", name) for name in names] + [("qty", "1")])
    assert 4094 < len(query) < 8000
    status, records = ask(one.url, "GET", f"/data?{query}", token=made["token"])
    assert (status, {record["variable"] for record in records}) == (200, set(names))


def test_a_request_that_is_cut_off_stores_nothing(endpoints: Pair) -> None:
    one = endpoints[0]
    _, made = ask(one.url, "POST", "/device", {"name": "Truck"}, token=one.token)
    body = json.dumps([{"variable": "t", "value": number} for number in range(100)]).encode()
    address = urllib.parse.urlsplit(one.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as client:
        head = f"POST /data HTTP/1.1\r\nHost: api\r\ntoken: {made['token']}\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:50])
    path = f"/device/{made['device_id']}/data_amount"
    assert ask(one.url, "GET", path, token=one.token) == (200, 0)
