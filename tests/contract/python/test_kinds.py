"""Owners' use of the Python SDK for everything except devices."""

import base64
import gzip
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from tagoio_sdk import Resources

from tests.contract.conftest import Endpoint
from tests.contract.listeners import wait_until_listening
from tests.contract.python.test_migration import resources

Pair = tuple[Endpoint, Endpoint]
SECONDS = 60
TAGS = [{"key": "site", "value": "Oslo"}]
LISTINGS = ("list", "listNetwork", "listDashboard")
SCRIPT = b"print('hello')\n"
LISTENER = """
import os
from tagoio_sdk import Analysis
def run(context, scope):
    context.log(f"ran with {scope} and {context.environment[0]['value']}")
    os._exit(0)
url = os.environ["API_URL"]
region = {"api": url, "sse": url + "/events"}
Analysis.use(run, {"token": os.environ["ANALYSIS_TOKEN"], "region": region})
"""


@pytest.fixture
def project(endpoints: Pair) -> Resources:
    return resources(endpoints[0])


# The SDK's class, the key of a new id, the creation, the change, and the name in messages.
KINDS: list[tuple[Callable[[Resources], Any], str, dict[str, Any], dict[str, Any], str]] = [
    (lambda sdk: sdk.actions, "action", {"name": "Alarm", "trigger": []}, {"active": False},
     "Action"),
    (lambda sdk: sdk.access, "am_id", {"name": "Policy", "permissions": [], "targets": []},
     {"active": False}, "Access Management"),
    (lambda sdk: sdk.integration.networks, "network", {"name": "LoRa"}, {"name": "LoRaWAN"},
     "Network"),
    (lambda sdk: sdk.integration.connectors, "connector", {"name": "Probe", "networks": []},
     {"name": "Probe 2"}, "Connector"),
    (lambda sdk: sdk.analysis, "id", {"name": "Report"}, {"active": False}, "Analysis"),
    (lambda sdk: sdk.dashboards, "dashboard", {"label": "Cold"}, {"label": "Colder"}, "Dashboard"),
    (lambda sdk: sdk.dictionaries, "dictionary", {"name": "Texts", "slug": "TXT"},
     {"name": "More"}, "Dictionary"),
]  # fmt: skip


def test_every_kind_is_created_listed_read_edited_and_deleted(project: Resources) -> None:
    for part_of, key, body, change, title in KINDS:
        part = part_of(project)
        made = part.create({**body, "tags": TAGS})[key]
        assert part.info(made)["id"] == made
        listing = next(getattr(part, name) for name in LISTINGS if hasattr(part, name))
        query = {"amount": 50, "filter": {"tags": TAGS}}
        if title != "Dictionary":
            assert [row["id"] for row in listing(query)] == [made], title
        assert isinstance(part.edit(made, change), str)
        name = next(iter(change))
        assert part.info(made)[name] == change[name]
        assert isinstance(part.delete(made), str)
        with pytest.raises(Exception, match=f"{title} Not Found"):
            part.info(made)


def test_what_belongs_to_something_else_comes_and_goes_with_it(project: Resources) -> None:
    dashboard = project.dashboards.create({"label": "Cold"})["dashboard"]
    widget = {"label": "t", "type": "display", "display": {"help": None}}
    made = project.dashboards.widgets.create(dashboard, widget)["widget"]
    assert project.dashboards.widgets.info(dashboard, made)["display"] == {"help": None}
    project.dashboards.widgets.edit(dashboard, made, {"label": "u"})
    project.dashboards.widgets.delete(dashboard, made)

    texts = {"dictionary": {"HELLO": "Hello"}, "active": True}
    dictionary = project.dictionaries.create({"name": "Texts", "slug": "TXT"})["dictionary"]
    project.dictionaries.languageEdit(dictionary, "en", texts)
    assert project.dictionaries.languageInfo(dictionary, "en") == {"HELLO": "Hello"}
    assert project.dictionaries.languageInfoBySlug("TXT", "en") == {"HELLO": "Hello"}

    analysis = project.analysis.create({"name": "Report"})["id"]
    encoded = base64.b64encode(SCRIPT).decode()
    upload = {"name": "report.py", "content": encoded, "language": "python"}
    project.analysis.uploadScript(analysis, upload)
    with urllib.request.urlopen(project.analysis.downloadScript(analysis)["url"]) as answer:  # noqa: S310
        assert gzip.decompress(answer.read()) == SCRIPT


def test_run_secrets_files_and_the_profile(project: Resources, endpoints: Pair) -> None:
    project.run.edit({"sub_title": "Cold"})
    assert project.run.info()["sub_title"] == "Cold"
    kari = {"name": "Kari", "email": "kari@example.com", "password": "x", "timezone": "UTC"}
    user = project.run.userCreate(kari)["user"]
    project.run.userEdit(user, {"company": "Ltd."})
    assert project.run.userInfo(user)["company"] == "Ltd."
    with pytest.raises(Exception, match="already"):
        project.run.userCreate(kari)
    project.run.userDelete(user)

    secret = project.secrets.create({"key": "API_KEY", "value": "s3cret"})["id"]
    assert project.secrets.info(secret)["value_length"] == 6
    project.secrets.delete(secret)

    encoded = base64.b64encode(b"text").decode()
    project.files.uploadBase64([{"filename": "/a/b.txt", "file": encoded, "public": False}])
    assert project.files.list({"path": "/"})["folders"] == ["a"]
    project.files.move([{"from": "a/b.txt", "to": "c.txt"}])
    project.files.changePermission([{"file": "c.txt", "public": True}])
    assert project.files.checkPermission("c.txt") == {"public": True}
    project.files.delete(["c.txt"])

    profile = endpoints[0].project.profile_id
    assert [one["id"] for one in project.profile.list()] == [profile]
    assert project.profile.summary(profile)["amount"]["device"] == 0
    assert [one["name"] for one in project.profile.tokenList(profile)] == ["Migration"]
    assert project.account.info()["email"] == endpoints[0].project.created_by.email


def test_an_external_analysis_runs_when_it_is_asked_to(endpoints: Pair) -> None:
    one, project = endpoints[0], resources(endpoints[0])
    body = {"name": "Report", "run_on": "external"}
    made = project.analysis.create({**body, "variables": [{"key": "site", "value": "Oslo"}]})
    environment = {"API_URL": one.url, "ANALYSIS_TOKEN": made["token"], "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", LISTENER], env=environment, stdout=subprocess.PIPE, text=True
    ) as listener:
        try:
            wait_until_listening(listener)
            project.analysis.run(made["id"], {"scope": [1]})
            assert listener.wait(SECONDS) == 0
        finally:
            listener.kill()
    (line,) = project.analysis.info(made["id"])["console"]
    assert "ran with" in line
    assert line.endswith("and Oslo")
