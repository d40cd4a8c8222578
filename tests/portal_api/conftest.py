"""Programs that ask the portal's API."""

import json
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Project
from tests import factories


class Program:
    """Asks with one token."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.client = Client()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        """One request; `body` as JSON."""
        return self.client.generic(
            method,
            f"/api/v1{path}",
            data="" if body is None else json.dumps(body),
            content_type="application/json",
            headers={"Authorization": f"Bearer {self.token}", **headers},
        )

    def get(self, path: str, **query: Any) -> Any:
        """The body of a good answer."""
        separated = "&".join(f"{name}={value}" for name, value in query.items())
        response = self.ask("GET", f"{path}?{separated}")
        assert response.status_code == 200, response.content
        return response.json()

    def refused(self, status: int, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The problem of a bad answer."""
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
    """One that may do everything that its account may."""
    return Program(factories.make_token(owner))
