"""A project with a real database, and a client of its API in this process."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.test import Client
from pytest_django import Settings

from backups_portal.projectdb.catalogue import TABLES
from backups_portal.projectdb.provisioning import database_name
from backups_portal.projectdb.tokens import TokenGrant, create_token
from backups_portal.projects.database_dsn import (
    PASSWORD_PURPOSE,
    SERVER_PURPOSE,
    keyring,
    project_dsn,
)
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.tagoio_api import settings as api_settings
from backups_portal.tagoio_api.auth import project_lookup
from backups_portal.tagoio_api.auth.project_token_auth import pools
from backups_portal.tagoio_api.envelope import as_json
from tests.factories import make_project_row
from tests.projectdatabases import Connection, Target, main_database, open_database

# Each has one row, made with the database.
KEPT = {"instance", "profile", "run_settings"}
# One round trip takes a tenth of the time of single statements.
EMPTYING = ";".join(
    [
        *(f"DELETE FROM {table.name}" for table in reversed(TABLES) if table.name not in KEPT),
        "UPDATE profile SET settings = DEFAULT, created_at = DEFAULT, updated_at = DEFAULT",
        "UPDATE run_settings SET settings = DEFAULT, updated_at = DEFAULT",
    ]
)


@dataclass
class Api:
    """The API with one token."""

    token: str
    client: Client

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send a request; return the status, and the result or the error message."""
        response = self.client.generic(
            method,
            path,
            b"" if body is None else body if isinstance(body, bytes) else as_json(body),
            content_type="application/json",
            headers={"token": self.token, **headers},
        )
        answer = response.json()
        assert answer["status"] is (response.status_code < 400)
        return response.status_code, answer["result" if answer["status"] else "message"]

    def get(self, path: str) -> Any:
        """Read successfully; return the result."""
        return self._expect(200, "GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        """Create successfully; return the result."""
        return self._expect(200, "POST", path, body)

    def put(self, path: str, body: Any = None) -> Any:
        """Edit successfully; return the result."""
        return self._expect(200, "PUT", path, body)

    def delete(self, path: str, body: Any = None) -> Any:
        """Delete successfully; return the result."""
        return self._expect(200, "DELETE", path, body)

    def _expect(self, status: int, method: str, path: str, body: Any = None) -> Any:
        found, result = self.call(method, path, body)
        assert found == status, result
        return result


@pytest.fixture(scope="session")
def instances(django_db_setup: None) -> Iterator[list[Target]]:
    """Two main databases for all tests of a process."""
    with main_database() as one, main_database() as other:
        yield [one, other]
        pools().close()


@pytest.fixture
def _served(settings: Settings) -> None:
    settings.ROOT_URLCONF = api_settings.ROOT_URLCONF
    settings.MIDDLEWARE = api_settings.MIDDLEWARE
    settings.APPEND_SLASH = False
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = settings.API_MAX_BODY_BYTES
    project_lookup.forget()


def _project(target: Target, name: str) -> Project:
    """Make the row of a project with an emptied database."""
    with open_database(target) as connection:
        connection.execute(EMPTYING)
    server = DatabaseServer.objects.get_or_create(
        name="tests",
        defaults={"sealed_url": keyring().seal(settings.PROJECT_DATABASE_URL, SERVER_PURPOSE)},
    )[0]
    return make_project_row(
        name=name,
        prefix=target.prefix,
        server=server,
        database=database_name(target.prefix),
        role=database_name(target.prefix),
        sealed_password=keyring().seal("secret", PASSWORD_PURPOSE),
    )


@pytest.fixture
def project(db: None, instances: list[Target], _served: None) -> Project:
    """An empty project."""
    return _project(instances[0], "Cold Chain")


@pytest.fixture
def other_project(db: None, instances: list[Target], _served: None) -> Project:
    """Another empty project."""
    return _project(instances[1], "Greenhouse")


@pytest.fixture
def database(project: Project, instances: list[Target]) -> Iterator[Connection]:
    """The project's database, without the API."""
    with open_database(instances[0]) as connection:
        yield connection


def api_of(project: Project, *, permission: str = "full") -> Api:
    """Return the API with a new profile token of a project."""
    with psycopg.connect(project_dsn(project)) as connection:
        token = create_token(
            connection, TokenGrant("profile", name="Test", permission=permission), keys=keyring()
        )
    return Api(token.value, Client())


@pytest.fixture
def api(project: Project) -> Api:
    """The API with a profile token of the project."""
    return api_of(project)


@dataclass
class Sensor:
    """A device and the API with its token."""

    api: Api
    device_id: str
    token: str

    @classmethod
    def create(cls, api: Api, **body: Any) -> "Sensor":
        """Create a new device of the project."""
        made = api.post("/device", {"name": "Sensor", **body})
        return cls(api, made["device_id"], made["token"])

    def __getattr__(self, name: str) -> Any:
        return getattr(Api(self.token, self.api.client), name)


@pytest.fixture
def sensor(api: Api) -> Sensor:
    """A mutable device."""
    return Sensor.create(api)
