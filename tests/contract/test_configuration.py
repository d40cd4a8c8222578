"""The snippets on the project's API page work as pasted."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from backups_portal.projects.client_configuration import snippets
from tests.contract.conftest import Endpoint
from tests.contract.http import ask
from tests.contract.javascript.node import HERE, require_node

NAME = "Cold store 7"


@pytest.fixture
def pasted(endpoints: tuple[Endpoint, Endpoint]) -> dict[str, str]:
    """Return each client's snippet for a project with one device."""
    one = endpoints[0]
    ask(one.url, "POST", "/device", {"name": NAME}, token=one.token)
    found = snippets(
        api_url=one.url,
        environment="old",
        profile_id=one.project.profile_id,
        token=one.token,
    )
    return {snippet.key: snippet.text for snippet in found}


def test_python(pasted: dict[str, str]) -> None:
    assert NAME in output([sys.executable, "-c", pasted["python"]])


def test_javascript(pasted: dict[str, str]) -> None:
    require_node()
    assert NAME in output(["node", "-e", pasted["javascript"]], cwd=HERE)


def test_the_command_line_s_files(pasted: dict[str, str], tmp_path: Path) -> None:
    require_node()
    script = pasted["cli"].replace("tagoio device-list", "env")
    told = output(["bash", "-ec", script], cwd=tmp_path)
    environment = json.loads((tmp_path / "tagoconfig.json").read_text())["old"]
    token = bytes.fromhex((tmp_path / ".tago-lock.old.lock").read_text()).decode()
    assert f"TAGOIO_API={environment['tagoAPIURL']}" in told
    assert f"TAGOIO_SSE={environment['tagoSSEURL']}" in told
    status, answer = ask(environment["tagoAPIURL"], "GET", "/profile/current", token=token)
    assert (status, answer["info"]["id"]) == (200, environment["id"])


def test_a_second_project_is_added_to_the_first(pasted: dict[str, str], tmp_path: Path) -> None:
    require_node()
    file = tmp_path / "tagoconfig.json"
    first = pasted["cli"].replace("tagoio device-list", "env")
    output(["bash", "-ec", first], cwd=tmp_path)
    config = json.loads(file.read_text())
    # The command line itself records an analysis like this.
    config["old"]["analysisList"] = [{"name": "Report", "fileName": "report.js", "id": "1"}]
    file.write_text(json.dumps({**config, "analysisPath": "./mine"}))
    url = config["old"]["tagoAPIURL"]
    second = {
        snippet.key: snippet.text
        for snippet in snippets(
            api_url=url,
            environment="new",
            profile_id="a" * 24,
            token="p-new",
            others={"old": config["old"]["id"], "third": "b" * 24},
        )
    }["cli"].replace("tagoio device-list", "env")
    output(["bash", "-ec", second], cwd=tmp_path)
    found = json.loads(file.read_text())
    assert (found["default"], found["analysisPath"]) == ("new", "./mine")
    assert found["old"]["analysisList"] == [{"name": "Report", "fileName": "report.js", "id": "1"}]
    assert {name: found[name]["id"] for name in ("old", "new", "third")} == {
        "old": config["old"]["id"],
        "new": "a" * 24,
        "third": "b" * 24,
    }
    locks = {lock.name: bytes.fromhex(lock.read_text()) for lock in tmp_path.glob(".tago-lock.*")}
    assert locks[".tago-lock.new.lock"] == b"p-new"
    assert locks[".tago-lock.old.lock"].startswith(b"p-")


def output(command: list[str], cwd: Path | None = None) -> str:
    """Run a command that must succeed; return its output."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return re.sub(r"\x1b\[\d+m", "", done.stdout)
