"""Two projects behind a live server, for official clients."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path

import psycopg
import pytest

from backups_portal.projectdb.provisioning import drop_database
from backups_portal.projectdb.tokens import create_token
from backups_portal.projects.connections import keyring, project_dsn, server_url
from backups_portal.projects.models import Project
from backups_portal.projects.services import BackupSettings, create_project
from tests.conftest import database_of_this_test
from tests.contract.server import running_api
from tests.factories import make_account

SETTINGS = BackupSettings(time(3), "UTC", 7, datetime(2026, 3, 1, 3, tzinfo=UTC))


@dataclass(frozen=True)
class Endpoint:
    """A project as its owner gives it to a client."""

    url: str
    token: str
    dsn: str
    project: Project


@pytest.fixture
def api_url(transactional_db: None, storage_url: str, tmp_path: Path) -> Iterator[str]:
    """The base URL of a running API."""
    environment = {"SNAPSHOT_STORAGE": storage_url, **database_of_this_test()}
    with running_api(environment, tmp_path / "api.log") as url:
        yield url


@pytest.fixture
def endpoints(api_url: str) -> Iterator[tuple[Endpoint, Endpoint]]:
    """Two new projects of one owner; they are dropped afterwards."""
    owner = make_account()
    projects = [
        create_project(name=name, owner=owner, settings=SETTINGS) for name in ("Old", "New")
    ]
    old, new = (_endpoint(api_url, project) for project in projects)
    yield old, new
    for project in projects:
        drop_database(server_url(project.server), prefix=project.prefix)


def _endpoint(url: str, project: Project) -> Endpoint:
    dsn = project_dsn(project)
    with psycopg.connect(dsn) as connection:
        token = create_token(connection, keys=keyring(), kind="profile", name="Migration")
    return Endpoint(url, token.value, dsn, project)
