"""Programs that use the portal's API."""

import json
import uuid
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Project
from snapshots.engine.contents_index import CELLS
from snapshots.models import Snapshot
from snapshots.storages.configured_storages import snapshot_storage
from tests import factories
from tests.manifests import make_manifest, make_segment


class Program:
    """A client with one token."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.client = Client()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        """Send a request with `body` as JSON."""
        return self.client.generic(
            method,
            f"/api/v1{path}",
            data="" if body is None else json.dumps(body),
            content_type="application/json",
            headers={"Authorization": f"Bearer {self.token}", **headers},
        )

    def get(self, path: str, **query: Any) -> Any:
        """Return the body of a successful answer."""
        separated = "&".join(f"{name}={value}" for name, value in query.items())
        response = self.ask("GET", f"{path}?{separated}")
        assert response.status_code == 200, response.content
        return response.json()

    def refused(self, status: int, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Return the problem of a refused request."""
        response = self.ask(method, path, body, **headers)
        assert response.status_code == status, response.content
        assert response["Content-Type"] == "application/problem+json"
        problem = response.json()
        assert problem["status"] == status
        assert problem["detail"]
        return problem


@pytest.fixture
def owner(db: None) -> Account:
    return factories.make_account()


@pytest.fixture
def project(owner: Account, storage_url: str) -> Project:
    return factories.make_project_row(owner=owner, name="Cold Chain", slug="cold-chain")


@pytest.fixture
def program(owner: Account) -> Program:
    """A program with all rights of the owner."""
    return Program(factories.make_token(owner))


@pytest.fixture
def snapshot(project: Project) -> Snapshot:
    """A backup of an empty database, with its manifest in storage."""
    pk = uuid.uuid4()
    manifest = make_manifest(
        project.pk,
        snapshot_id=pk,
        prefix=project.prefix,
        segments=(make_segment(project.pk, "variable", {}),),
        contents=(make_segment(project.pk, CELLS, {}, table=CELLS),),
    )
    snapshot_storage().put(manifest.key, manifest.to_json())
    return factories.make_snapshot(
        project,
        id=pk,
        manifest=manifest.key,
        taken_at=manifest.taken_at,
        rows=manifest.rows,
        logical_bytes=manifest.logical_bytes,
        stored_bytes=manifest.stored_bytes,
    )
