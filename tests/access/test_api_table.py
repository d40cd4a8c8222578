"""The API's table of answers is complete and true, and a refusal changes nothing."""

import json
import re
import uuid
from functools import cache
from typing import Any

import pytest
from django.http import HttpResponse
from django.urls import URLPattern, URLResolver, get_resolver

from backups_portal.access_tokens.scopes import Scope, allows
from backups_portal.audit.models import AuditEvent
from backups_portal.portal_api.api import api
from backups_portal.projects.permission_mixins import REFUSED
from snapshots.engine.layout import MARKER
from snapshots.engine.storage import open_storage
from tests import factories
from tests.access.api_table import ACTORS, API_TABLE, BACKUP
from tests.access.table import METHODS
from tests.access.test_table import API, World, state
from tests.tallies import tally

pytestmark = pytest.mark.django_db
CONVERTER = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")
# The API's own description, and addresses that do not exist.
WITHOUT_TOKEN = {"openapi-json", "api-root", "nothing-here"}
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("PATCH", "settings"): {"backup_time": "04:30", "retention_days": 3},
    ("PATCH", "objectives"): {"max_loss_hours": 48},
    ("POST", "checks"): {"kind": "devices", "at_least": 30},
    ("POST", "restores"): {"name": "Recovered", "accept_charges": True},
}


@cache
def paths() -> dict[str, dict[str, Any]]:
    """Return every path of the API description with its operations."""
    return dict(api.get_openapi_schema()["paths"])


def resolver() -> URLResolver:
    """Return the URL resolver of the API."""
    prefixes = [
        entry
        for entry in get_resolver().url_patterns
        if isinstance(entry, URLResolver) and str(entry.pattern) == "api/v1/"
    ]
    (found,) = (
        entry
        for entry in prefixes[0].url_patterns
        if isinstance(entry, URLResolver) and entry.namespace == API
    )
    return found


class ApiWorld(World):
    """The world of the pages, called through the API."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = {
            name: factories.make_token(account)
            for name, account in self.accounts.items()
            if account is not None
        }

    def path(self, template: str, **changes: Any) -> str:
        """Return the address of this world's project, backup, restore or transfer."""
        ids = {
            "slug": self.project.slug,
            "backup_id": self.snapshot.pk,
            "device_id": "ab" * 12,
            "check_id": self.check.pk,
            "restore_id": self.restore.pk,
            "transfer_id": self.transfer.pk,
            **changes,
        }
        return template.format(**ids)

    def token(self, actor: str, method: str, template: str) -> str | None:
        """Return the token that an actor sends with a request."""
        if actor == "unscoped":
            return factories.make_token(self.accounts["owner"], *other_scopes(method, template))
        return self.tokens.get(actor)

    def call(
        self, actor: str, method: str, template: str, query: str = "", **changes: Any
    ) -> HttpResponse:
        """Send one request as an actor, with a valid body if the operation takes one."""
        self.client.cookies.clear()
        if actor == "session":
            self.client.force_login(self.accounts["owner"])
        token = self.token(actor, method, template)
        last = template.rpartition("/")[2]
        body = BODIES.get((method, last), {})
        if (method, last) == ("POST", "transfers"):
            body = {"target": self.second.slug}
        return self.client.generic(
            method,
            self.path(template, **changes) + query,
            data=json.dumps(body) if body else "",
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )


def needed(method: str, template: str) -> Scope | None:
    """Return the scope that an operation requires, if any."""
    found = paths()[template].get("get" if method == "HEAD" else method.lower())
    return Scope(found["security"][0]["AccessToken"][0]) if found else None


def other_scopes(method: str, template: str) -> list[str]:
    """Return every scope that does not suffice for an operation."""
    scope = needed(method, template)
    return [one for one in Scope.values if scope is None or not allows([one], scope)]


@pytest.fixture
def world(storage_url: str) -> ApiWorld:
    # The right storage, which lacks this world's backups.
    open_storage(storage_url).put_new(MARKER, b"")
    return ApiWorld()


def test_every_path_is_in_the_table() -> None:
    assert sorted(paths()) == sorted(API_TABLE)


def test_every_address_is_described() -> None:
    addresses = {
        "/api/v1/" + CONVERTER.sub(r"{\1}", str(pattern.pattern))
        for pattern in resolver().url_patterns
        if isinstance(pattern, URLPattern) and pattern.name not in WITHOUT_TOKEN
    }
    assert addresses == set(paths())


def test_rows_are_complete(subtests: pytest.Subtests) -> None:
    for template, row in API_TABLE.items():
        with subtests.test(template):
            assert set(row) == set(ACTORS)
            described = {method.upper() for method in paths()[template]}
            assert set(row["owner"]) == set(METHODS)
            given = {name for name, status in row["owner"].items() if status != 405}
            assert given - {"HEAD"} == described


def answers(world: ApiWorld, actor: str, template: str) -> dict[str, int]:
    """Return an actor's statuses for a path by method; every answer must be well formed."""
    given = {}
    for method in METHODS:
        response = world.call(actor, method, template)
        given[method] = response.status_code
        assert not response.cookies
        if response.status_code >= 400:
            assert response["Content-Type"] == "application/problem+json"
    tally("accesses to the portal's API: path, method, actor", len(given))
    return given


@pytest.mark.parametrize("actor", ACTORS)
def test_answers_hold_and_refusals_change_nothing(
    world: ApiWorld, actor: str, subtests: pytest.Subtests
) -> None:
    before = state()
    for template in API_TABLE:
        with subtests.test(template), world.undone():
            assert answers(world, actor, template) == dict(API_TABLE[template][actor])
            assert actor == "owner" or state() == before


@pytest.mark.parametrize("actor", ["owner", "collaborator"])
def test_who_has_the_right_is_refused_an_unknown_parameter(
    world: ApiWorld, actor: str, subtests: pytest.Subtests
) -> None:
    before = state()
    for template, row in API_TABLE.items():
        for method in paths()[template]:
            status = row[actor][method.upper()]
            expected = status if status in (403, 404) else 422
            with subtests.test(template, method=method):
                response = world.call(actor, method.upper(), template, "?x=1")
                assert response.status_code == expected
                assert expected != 422 or "“x” is no" in response.json()["detail"]
    assert state() == before


@pytest.mark.parametrize("actor", ["collaborator", "stranger"])
def test_refusals_are_written_down(world: ApiWorld, actor: str, subtests: pytest.Subtests) -> None:
    events = AuditEvent.objects.filter(action="access.refused", account_id=world.accounts[actor].pk)
    for template, row in API_TABLE.items():
        if row["stranger"].get("GET") != 404:
            continue
        REFUSED.forget(f"{world.accounts[actor].pk} {world.project.pk}")
        with subtests.test(template), world.undone():
            if world.call(actor, "GET", template).status_code == 200:
                assert not events.exists()
                continue
            event = events.get()
            assert event.subject == f"GET {world.path(template)}"
            assert event.project_id == world.project.pk
            assert event.details["via"].startswith("API token script ")


def test_the_backup_of_another_project_leads_nowhere(
    world: ApiWorld, subtests: pytest.Subtests
) -> None:
    before = state()
    for template in API_TABLE:
        if not template.startswith(BACKUP):
            continue
        with subtests.test(template), world.undone():
            for method in METHODS:
                response = world.call("stranger", method, template, slug=world.elsewhere.slug)
                assert response.status_code in (404, 405)
            assert state() == before


def test_an_id_that_nothing_has(world: ApiWorld, subtests: pytest.Subtests) -> None:
    unknown = dict.fromkeys(("backup_id", "check_id", "restore_id", "transfer_id"), uuid.uuid4())
    for template, row in API_TABLE.items():
        ids = unknown if any(f"{{{name}}}" in template for name in unknown) else {"slug": "nothing"}
        expected = 200 if template == "/api/v1/projects" else 404
        with subtests.test(template), world.undone():
            for method in METHODS:
                if row["owner"][method] != 405:
                    assert world.call("owner", method, template, **ids).status_code == expected
