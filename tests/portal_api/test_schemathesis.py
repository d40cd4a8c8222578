"""Requests that follow or violate the API description get its answers."""

import json
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pytest_django import Settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from backups_portal.portal_api.api import api
from backups_portal.portal_api.preconditions import query_parameters
from snapshots.engine.layout import MARKER
from snapshots.engine.storage import open_storage
from tests.access.api_table import API_TABLE
from tests.access.test_api_table import ApiWorld
from tests.tagoio_api.test_schemathesis import in_this_transaction
from tests.tallies import tally

pytestmark = pytest.mark.django_db
BY_DESCRIPTION, AGAINST_IT = 8, 12
AS_DESCRIBED = [status_code_conformance, content_type_conformance, response_schema_conformance]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=6,
)


def bounded(most: int) -> Any:
    """Limit the examples, which are the same in every run."""
    return examples(
        max_examples=most,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture
def world(storage_url: str, settings: Settings) -> ApiWorld:
    settings.PORTAL_API_REQUESTS_PER_MINUTE = 0
    # The right storage, which lacks this world's backups.
    open_storage(storage_url).put_new(MARKER, b"")
    return ApiWorld()


def operations(modes: list[GenerationMode]) -> list[Any]:
    with in_this_transaction():
        schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", WSGIHandler())
    schema.config.generation.update(modes=modes)
    return [result.ok() for result in schema.get_all_operations()]


@pytest.mark.parametrize(
    ("mode", "most"),
    [(GenerationMode.POSITIVE, BY_DESCRIPTION), (GenerationMode.NEGATIVE, AGAINST_IT)],
)
def test_every_answer_is_one_that_is_described(
    world: ApiWorld, mode: GenerationMode, most: int
) -> None:
    found = operations([mode])
    assert {operation.path for operation in found} == set(API_TABLE)
    for operation in found:
        _try(operation, world, mode, most)


def _try(operation: Any, world: ApiWorld, mode: GenerationMode, most: int) -> None:
    ids = {
        "slug": world.project.slug,
        "backup_id": str(world.snapshot.pk),
        "device_id": "ab" * 12,
        "check_id": str(world.check.pk),
        "restore_id": str(world.restore.pk),
        "transfer_id": str(world.transfer.pk),
    }
    sent = 0

    @bounded(most)
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        nonlocal sent
        # Use real ids in every other request; otherwise most would end at an unknown id.
        if sent % 2 == 0 and case.path_parameters:
            case.path_parameters = {name: ids[name] for name in case.path_parameters}
        with in_this_transaction():
            response = case.call(headers={"Authorization": f"Bearer {world.tokens['owner']}"})
        sent += 1
        assert response.status_code < 500, f"{case.as_curl_command()}: {response.text}"
        case.validate_response(response, checks=AS_DESCRIBED)
        kind = response.headers.get("content-type", [""])[0]
        if response.status_code >= 400:
            assert kind == "application/problem+json", case.as_curl_command()
            assert response.json()["detail"]

    check()
    tally(f"inputs by schemathesis to the portal's API: {mode.value}", sent)


@pytest.mark.parametrize("template", API_TABLE)
def test_no_body_query_or_header_breaks_it(world: ApiWorld, template: str) -> None:
    known = query_parameters(api)[template.removeprefix("/api/v1")]
    bodies = JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60)
    client = Client()

    # Unknown parameters are refused, whatever the body contains.
    def query_of(method: str) -> Any:
        names = sorted(known[method])
        return (
            st.dictionaries(st.sampled_from(names), st.text(max_size=20)) if names else st.just({})
        )

    asked = st.sampled_from(sorted(known)).flatmap(
        lambda one: st.tuples(st.just(one), query_of(one))
    )

    @bounded(20)
    @given(
        asked=asked,
        body=bodies,
        key=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=300),
    )
    def check(asked: tuple[str, dict[str, str]], body: bytes, key: str) -> None:
        tally("inputs by hypothesis to the portal's API")
        method, query = asked
        response = client.generic(
            method,
            world.path(template),
            body,
            "application/json",
            query_params=query,
            headers={
                "Authorization": f"Bearer {world.tokens['owner']}",
                "Idempotency-Key": key,
            },
        )
        assert response.status_code < 500
        if response.status_code >= 400:
            assert response.headers["Content-Type"] == "application/problem+json"

    check()
