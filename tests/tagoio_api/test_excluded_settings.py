"""Settings excluded from backups cannot come back in through any kind's body."""

from typing import Any

import pytest

from backups_portal.projectdb.catalogue import EXCLUDED_SETTINGS
from snapshots.engine.storage import open_storage
from tests.projectdatabases import Backups, Connection, Target
from tests.snapshots.engine.test_snapshot_writer import stored_bytes
from tests.tagoio_api.conftest import Api, Sensor
from tests.tagoio_api.resources.test_resource_kinds import CASES, Case

MARK = "sunflower-marker"
# Excluded keys of all kinds, except a Run user's password, which is a normal field.
PLANTED = {
    key: MARK for exclusion in EXCLUDED_SETTINGS for key in exclusion.columns if key != "password"
}
NESTED: dict[str, dict[str, Any]] = {
    "dashboard": {"widgets": [{"label": "W", **PLANTED}], "shared": MARK},
    "analysis": {"variables": [{"key": "a", "value": "b", **PLANTED}]},
    "dictionary": {"languages": [{**PLANTED, "code": "en", "active": True, "data": {"a": MARK}}]},
    "entity": {
        "schema": {"plate": {"type": "string", **PLANTED}},
        "index": {"one": {"fields": ["plate"], **PLANTED}},
    },
    "secret": {},
}
# Clients of these kinds may store any additional keys.
FREE = {"dashboard"}


def planted(case: Case, kind: str) -> dict[str, Any]:
    unknown = {} if kind in FREE else {"unheard_of": MARK, "logs": [MARK]}
    tags = [{"key": "a", "value": "b", **PLANTED}]
    return {**case.body, **PLANTED, **unknown, "tags": tags, **NESTED.get(kind, {})}


@pytest.fixture
def planted_project(api: Api, sensor: Sensor) -> Api:
    """A project in which every kind was created and edited with excluded keys."""
    for kind, case in CASES.items():
        made = api.post(case.path, planted(case, kind))[case.created]
        one = f"{case.path.rstrip('/')}/{made}"
        api.put(one, {key: v for key, v in planted(case, kind).items() if key != "password"})
        # Sent back with everything that was read, as migration scripts do.
        shown = api.get(one)
        api.put(one, {**shown, **PLANTED})
        assert MARK not in str(shown), kind
    device = {"name": "D", "unheard_of": MARK, "params": [{"key": "k", "value": MARK}], **PLANTED}
    api.post("/device", device)
    api.put(f"/device/{sensor.device_id}", device)
    dashboard = api.get("/dashboard")[0]["id"]
    widget = api.post(
        f"/dashboard/{dashboard}/widget", {"label": "W", "dashboard_id": MARK, **PLANTED}
    )["widget"]
    api.put(f"/dashboard/{dashboard}/widget/{widget}", PLANTED)
    api.put("/run", {"sub_title": "S", "url": MARK, **PLANTED})
    api.put("/profile/current", {"unheard_of": MARK, **PLANTED})
    dictionary = api.get("/dictionary")[0]["id"]
    api.put(f"/dictionary/{dictionary}/en", {"active": True, **PLANTED})
    api.post(f"/device/{sensor.device_id}/params", [{"key": "a", "value": "b", **PLANTED}])
    sensor.post("/data", [{"variable": "t", "value": 1, **PLANTED}])
    return api


def test_no_body_brings_in_what_backups_exclude(
    planted_project: Api, instances: list[Target], tmp_path: Any
) -> None:
    backups = Backups(instances[0], open_storage(f"file://{tmp_path}"))
    content = stored_bytes(backups.storage, backups.take())
    assert b"Cold store" in content, "the search would find what is there"
    assert MARK.encode() not in content


def test_an_analysis_that_is_sent_back_keeps_no_console(api: Api, database: Connection) -> None:
    made = api.post("/analysis", {"name": "Report", "run_on": "external"})
    Api(made["token"], api.client).post("/analysis/services/console/send", {"message": MARK})
    shown = api.get(f"/analysis/{made['id']}")
    assert MARK in shown["console"][0]
    api.put(f"/analysis/{made['id']}", shown)
    api.post("/analysis", shown)
    rows = database.execute("SELECT settings FROM analysis").fetchall()
    assert rows == [({},), ({},)]


def test_settings_of_every_kind_stay_as_they_are(api: Api) -> None:
    """Settings that clients know are kept, including nested keys of any name."""
    script = {"type": "script", "script": ["a" * 24], "content": "kept"}
    action = api.post("/action", {"name": "N", "action": script, "lock": True})["action"]
    assert api.get(f"/action/{action}")["action"] == script
    device = api.post("/device", {"name": "D", "payload_decoder": "x"})["device_id"]
    assert api.get(f"/device/{device}")["payload_decoder"] == "x"
    network = api.post("/integration/network", {"name": "N", "payload_decoder": "y"})["network"]
    assert api.get(f"/integration/network/{network}")["payload_decoder"] == "y"
