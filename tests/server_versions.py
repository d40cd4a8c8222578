"""Mark tests that depend on the version of PostgreSQL; `.ci/run` runs them on 15.

A plugin. In the folders of FOLDERS it marks each test with a project's database, recognised by its
fixtures: fixtures that make one request `project_server`, and a test that makes one without it
fails. Two kinds are left out, since they send the server nothing that others do not:

- pages (`client`): they show what services did, or what is in storage;
- those of the packages of STORAGE, which have no statements themselves: their projects are only
  there to be backed up once.

Other tests of hand-written statements set the marker themselves: a page's test if no other one
sends the statement, and modules in other folders.
"""

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest
from django.conf import settings

MARKER = "server_version"
SERVER = "project_server"
TESTS = Path(__file__).parent
FOLDERS = ("projectdb", "snapshots", "restores", "transfers")
STORAGE = ("integrity", "object_lock", "replication", "retention", "storages")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", f"{MARKER}: may differ between versions of PostgreSQL")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests before pytest deselects those without the marker."""
    for item in items:
        place = item.path.relative_to(TESTS).parts
        if asks_the_server(place, getattr(item, "fixturenames", ())):
            item.add_marker(MARKER)


def asks_the_server(place: tuple[str, ...], fixtures: Collection[str]) -> bool:
    """Return whether a test may depend on the server's version.

    Args:
        place: The folders and the file of the test, below `tests`.
    """
    is_page = "client" in fixtures
    is_of_storage = place[0] == "snapshots" and place[1] in STORAGE
    return place[0] in FOLDERS and SERVER in fixtures and not is_page and not is_of_storage


@pytest.fixture(scope="session")
def project_server() -> str:
    """The server for projects' databases; fixtures that make one request it."""
    return str(settings.PROJECT_DATABASE_URL)


@pytest.fixture(autouse=True)
def _who_makes_a_database_asks_for_its_server(request: pytest.FixtureRequest) -> Iterator[None]:
    # pytest's monkeypatch would outlast the test's own database.
    with ExitStack() as stack:
        if (
            request.path.relative_to(TESTS).parts[0] in FOLDERS
            and SERVER not in request.fixturenames
        ):
            stack.enter_context(patch("backups_portal.projectdb.provisioning.create_role", _refuse))
        yield


def _refuse(*_: object) -> None:
    pytest.fail(f"A test that makes a project's database asks for the fixture {SERVER}.")
