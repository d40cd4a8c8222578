"""The table of .github/docs/tagoio-clients.md lists exactly the tests of this folder."""

import re
from pathlib import Path

HERE = Path(__file__).parent
CLIENTS = ("python", "javascript", "cli")
# These tests support a client's flow without being one.
BESIDE = {
    "cli/test_command_line.py::test_login_with_a_wrong_password_is_refused",
    "cli/test_command_line.py::test_a_collaborator_gets_no_token",
    "cli/test_command_line.py::test_only_the_owners_profile_reaches_backups",
    "cli/test_command_line.py::test_what_is_not_offered_is_said_so",
    "python/test_migration.py::test_a_body_may_come_in_chunks",
}


def test_every_line_is_a_test_and_every_flow_a_line() -> None:
    page = (HERE.parents[1] / ".github" / "docs" / "tagoio-clients.md").read_text()
    told = re.findall(r"`((?:python|javascript|cli)/\w+\.py::\w+)` \|$", page, re.MULTILINE)
    assert len(told) == len(set(told))
    there = {
        f"{client}/{file.name}::{name}"
        for client in CLIENTS
        for file in (HERE / client).glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert set(told) == there - BESIDE
