"""Which tests ask for what may differ between versions of PostgreSQL; `.ci/run` runs them on 15.

A plugin. In the folders of FOLDERS it marks each test that has a project's database, by its
fixtures: what makes one asks for `project_server`, and a test that makes one without it fails. Two
kinds are left out, as they ask the server for nothing that the others do not:

- pages (`client`): they show what the services behind them did, or what lies in storage;
- those of the packages of STORAGE, which have no statement of their own: their projects are there
  to be backed up once.

Whatever else tests statements that are written by hand has the marker itself: a page's test where
no other one sends the statement, and modules in other folders.
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
    """Make the marker known."""
    config.addinivalue_line("markers", f"{MARKER}: may differ between versions of PostgreSQL")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark before those without the marker are left out."""
    for item in items:
        place = item.path.relative_to(TESTS).parts
        if asks_the_server(place, getattr(item, "fixturenames", ())):
            item.add_marker(MARKER)


def asks_the_server(place: tuple[str, ...], fixtures: Collection[str]) -> bool:
    """Say whether a test asks a server for what may differ between its versions.

    Args:
        place: The folders and the file of the test, below `tests`.
    """
    is_page = "client" in fixtures
    is_of_storage = place[0] == "snapshots" and place[1] in STORAGE
    return place[0] in FOLDERS and SERVER in fixtures and not is_page and not is_of_storage


@pytest.fixture(scope="session")
def project_server() -> str:
    """The server of projects' databases, for what makes one there."""
    return str(settings.PROJECT_DATABASE_URL)


@pytest.fixture(autouse=True)
def _who_makes_a_database_asks_for_its_server(request: pytest.FixtureRequest) -> Iterator[None]:
    # Without pytest's monkeypatch, which would then outlast the test's own database.
    with ExitStack() as stack:
        if (
            request.path.relative_to(TESTS).parts[0] in FOLDERS
            and SERVER not in request.fixturenames
        ):
            stack.enter_context(patch("backups_portal.projectdb.provisioning.create_role", _refuse))
        yield


def _refuse(*_: object) -> None:
    pytest.fail(f"A test that makes a project's database asks for the fixture {SERVER}.")
