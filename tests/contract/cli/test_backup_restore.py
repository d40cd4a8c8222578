"""`backup restore`: what the command line does with its downloaded ZIP."""

import io
import json
import urllib.request
import zipfile
from typing import Any

from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from tests.contract.cli.requests import bare, result
from tests.contract.conftest import Endpoint
from tests.contract.http import ask
from tests.factories import PASSWORD, make_snapshot

TAGS = [{"key": "site", "value": "Oslo"}]
PARAMETERS = [
    {"key": "threshold", "value": "-18", "sent": True},
    {"key": "site", "value": "Oslo", "sent": False},
]
# In the command line's order: the file, the address, the key of a new id, an example.
KINDS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("access_management", "/am", "am_id", {"name": "Policy", "targets": [["a"]], "tags": TAGS}),
    ("actions", "/action", "action", {"name": "Alarm", "trigger": [{"is": ">"}], "tags": TAGS}),
    ("analysis", "/analysis", "id", {"name": "Report", "variables": [{"key": "a", "value": "b"}]}),
    ("connectors", "/integration/connector/", "connector", {"name": "Probe", "networks": []}),
    ("dashboards", "/dashboard", "dashboard", {"label": "Cold store", "tags": TAGS}),
    (
        "devices",
        "/device",
        "device_id",
        {
            "name": "Truck",
            "description": "Ice",
            "tags": TAGS,
            "configuration_params": PARAMETERS,
        },
    ),
    ("dictionaries", "/dictionary", "dictionary", {"name": "Texts", "slug": "TXT"}),
    ("networks", "/integration/network/", "network", {"name": "LoRa", "icon": {"url": "x"}}),
    (
        *("run_users", "/run/users", "user"),
        {"name": "Kari", "email": "kari@example.com", "password": "secret"},
    ),
)
NEW = (
    *("id", "profile", "created_at", "updated_at", "token", "bucket"),
    "console",
)


def fill(one: Endpoint) -> dict[str, str]:
    """Create one of each kind; return their ids."""
    made = {name: result(one, "POST", path, body)[key] for name, path, key, body in KINDS}
    widget = {"label": "t", "type": "display", "display": {"help": None}}
    result(one, "POST", f"/dashboard/{made['dashboards']}/widget/", widget)
    texts = {"dictionary": {"HELLO": "Hello"}, "active": True}
    result(one, "PUT", f"/dictionary/{made['dictionaries']}/en", texts)
    result(one, "PUT", "/run", {"sub_title": "Cold"})
    result(one, "POST", "/secrets", {"key": "API_KEY", "value": "s3cret"})
    return made


def download(one: Endpoint) -> zipfile.ZipFile:
    """Fetch the newest backup as the command line does."""
    snapshot = make_snapshot(one.project, state=Snapshot.State.QUEUED)
    take(snapshot.pk)
    path = f"/profile/{one.project.profile_id}/backup"
    _, (backup,) = bare(one, "GET", f"{path}?page=1&amount=20&orderBy=created_at,desc")
    status, found = bare(one, "POST", f"{path}/{backup['id']}/download", {"password": PASSWORD})
    assert status == 200, found
    with urllib.request.urlopen(found["url"], timeout=60) as response:  # noqa: S310
        return zipfile.ZipFile(io.BytesIO(response.read()))


def put_back(one: Endpoint, name: str, path: str, key: str, item: dict[str, Any]) -> str:
    """Create a missing item or edit an existing one; return its id."""
    known = {row["id"] for row in result(one, "GET", f"{path}?amount=10000&fields=id")}
    one_path = f"{path.rstrip('/')}/{item['id']}"
    if item["id"] in known:
        result(one, "PUT", one_path, item)
        return str(item["id"])
    return str(result(one, "POST", path, item)[key])


def test_a_deleted_project_comes_back_out_of_the_zip(
    endpoints: tuple[Endpoint, Endpoint],
) -> None:
    one = endpoints[0]
    made = fill(one)
    before = {name: result(one, "GET", f"{path.rstrip('/')}/{made[name]}")
              for name, path, _, _ in KINDS}  # fmt: skip
    archive = download(one)
    for name, path, _, _ in KINDS[::2]:
        result(one, "DELETE", f"{path.rstrip('/')}/{made[name]}")
    result(one, "PUT", "/run", {"sub_title": "Changed"})

    for name, path, key, _ in KINDS:
        for item in json.loads(archive.read(f"resources/{name}.json")):
            # No backup contains a person's password, so the command line makes one up.
            more = {"password": "random"} if name == "run_users" else {}
            found = put_back(one, name, path, key, {**item, **more})
            restored = result(one, "GET", f"{path.rstrip('/')}/{found}")
            kept = {key: value for key, value in before[name].items() if key not in NEW}
            assert {key: restored[key] for key in kept} == kept
            made[name] = found
    parameters = result(one, "GET", f"/device/{made['devices']}/params")
    assert [{key: row[key] for key in PARAMETERS[0]} for row in parameters] == PARAMETERS

    # This service excludes the code of analyses from backups.
    assert not [name for name in archive.namelist() if name.startswith("versioning/")]
    (dashboard,) = json.loads(archive.read("resources/dashboards.json"))
    widget = result(
        one, "POST", f"/dashboard/{made['dashboards']}/widget/", dashboard["widgets"][0]
    )
    address = f"/dashboard/{made['dashboards']}/widget/{widget['widget']}"
    assert result(one, "GET", address)["display"] == {"help": None}
    (dictionary,) = json.loads(archive.read("resources/dictionaries.json"))
    (language,) = dictionary["languages"]
    body = {"dictionary": language["data"], "active": language["active"]}
    path = f"/dictionary/{made['dictionaries']}/{language['code']}"
    result(one, "PUT", path, body)
    assert result(one, "GET", path) == {"HELLO": "Hello"}
    result(one, "PUT", "/run", json.loads(archive.read("resources/run.json")))
    assert result(one, "GET", "/run")["sub_title"] == "Cold"
    # The command line counts a refusal as one failure, and goes on.
    assert ask(one.url, "POST", "/profile/", {}, token=one.token)[0] == 403
    (secret,) = json.loads(archive.read("resources/secrets.json"))
    assert (secret["key"], secret["value"]) == ("API_KEY", None)
    assert {row["key"] for row in result(one, "GET", "/secrets")} == {"API_KEY"}
    # If it is missing, the command line posts the file's content.
    result(one, "DELETE", f"/secrets/{secret['id']}")
    status, message = ask(one.url, "POST", "/secrets", secret, token=one.token)
    assert status == 400
    assert message.startswith("The secret API_KEY has no value. Downloaded backups contain none")
