"""Requests that follow or violate the API's description never cause a server error."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from pytest_django import Settings

from tests.nosecrets import invent
from tests.tagoio_api.conftest import Api, Sensor
from tests.tallies import tally

EXAMPLES = examples(
    max_examples=4,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
# Their answers never end.
ENDLESS = {"/events"}
DEVICE_ROUTES = ("/data", "/device/params")


@contextmanager
def in_this_transaction() -> Iterator[None]:
    """Keep this test's connection open at the end of requests.

    Django's test client does the same for its own requests, and reverts it after each.
    """
    both = (request_started, request_finished)
    for signal in both:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in both:
            signal.connect(close_old_connections)


@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_no_request_ends_in_a_server_error(api: Api, method: str, settings: Settings) -> None:
    # Passwords are not tested here, and hashing them is slow on purpose.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with in_this_transaction():
        schema = schemathesis.openapi.from_wsgi("/openapi.json", WSGIHandler())
    seen = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.method.lower() == method and operation.path not in ENDLESS:
            _try(operation, Sensor.create(api))
            seen += 1
    assert seen > 10


def _try(operation: Any, sensor: Sensor) -> None:
    token = sensor.token if operation.path.startswith(DEVICE_ROUTES) else sensor.api.token

    @EXAMPLES
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        invent([case.path_parameters, case.query, case.headers, case.cookies, case.body])
        # Otherwise most requests would end at an unknown id.
        if operation.path.startswith("/device/{") and case.path_parameters:
            first = next(iter(case.path_parameters))
            case.path_parameters = {**case.path_parameters, first: sensor.device_id}
        with in_this_transaction():
            response = case.call(headers={"token": token})
        tally("inputs by schemathesis to the projects' API")
        assert response.status_code < 500, f"{case.as_curl_command()}: {response.text}"
        if response.headers.get("content-type", [""])[0] == "application/json":
            assert isinstance(response.json(), dict)

    check()
