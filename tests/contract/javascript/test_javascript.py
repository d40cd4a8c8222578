"""The official JavaScript SDK, as owners use it, on two projects of a live server."""

import os
import subprocess
from typing import Any

import psycopg
import pytest

from tests.contract.conftest import Endpoint
from tests.contract.http import ask
from tests.contract.javascript.node import HERE, SECONDS, require_node, run
from tests.contract.listeners import wait_until_listening
from tests.contract.python.test_migration import CONTENTS, DESCRIBED, DEVICES, RECORDS, fill

KINDS = [
    *("networks and connectors", "dashboards and widgets", "actions", "access policies"),
    *("dictionaries", "Run and its users", "secrets", "analyses and scripts", "files"),
    *("entities", "profile and tags"),
]

Pair = tuple[Endpoint, Endpoint]


@pytest.fixture(autouse=True)
def _node() -> None:
    require_node()


def access(endpoints: Pair) -> dict[str, str]:
    """Return the environment that the scripts read."""
    old, new = endpoints
    return {"API_URL": old.url, "OLD_TOKEN": old.token, "NEW_TOKEN": new.token}


def test_a_script_copies_a_project_into_another(endpoints: Pair) -> None:
    old, new = endpoints
    fill(old)

    copied = run("migrate.mjs", **access(endpoints))

    assert copied == {"devices": DEVICES, "variables": DEVICES * RECORDS}
    with psycopg.connect(old.dsn) as one, psycopg.connect(new.dsn) as other:
        for query in (CONTENTS, DESCRIBED):
            rows = one.execute(query).fetchall()
            assert rows
            assert other.execute(query).fetchall() == rows
        for query in ("SELECT id::text FROM device", "SELECT hash FROM token"):
            mine, theirs = ({row[0] for row in db.execute(query)} for db in (one, other))
            assert not mine & theirs


def test_every_other_kind_of_resource(endpoints: Pair) -> None:
    assert run("kinds.mjs", **access(endpoints)) == KINDS


def test_an_external_analysis_runs_when_it_is_asked_to(endpoints: Pair) -> None:
    project = endpoints[0]
    made = result(project, "POST", "/analysis", EXTERNAL)
    listener = subprocess.Popen(
        ["node", "listen.mjs"],
        cwd=HERE,
        env={**os.environ, "API_URL": project.url, "ANALYSIS_TOKEN": made["token"]},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until_listening(listener)
        path = f"/analysis/{made['id']}"
        result(project, "POST", f"{path}/run", {"scope": [{"variable": "t"}]})
        assert listener.wait(SECONDS) == 0
    finally:
        listener.kill()
        listener.wait()
    (line,) = result(project, "GET", path)["console"]
    assert line.endswith('ran with [{"variable":"t"}] and Oslo')


EXTERNAL = {
    "name": "Report",
    "run_on": "external",
    "variables": [{"key": "site", "value": "Oslo"}],
}


def result(project: Endpoint, method: str, path: str, body: Any = None) -> Any:
    """Return the project API's result for its owner."""
    status, answer = ask(project.url, method, path, body, token=project.token)
    assert status == 200, answer
    return answer
