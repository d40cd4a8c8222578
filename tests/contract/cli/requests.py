"""Requests as the command line sends them."""

from typing import Any

from tests.contract.conftest import Endpoint
from tests.contract.http import ask


def result(endpoint: Endpoint, method: str, path: str, body: Any = None, token: str = "") -> Any:
    """Return the part of an answer that the command line reads; with a device's token if given."""
    status, answer = ask(endpoint.url, method, path, body, token=token or endpoint.token)
    assert status == 200, answer
    return answer


def bare(endpoint: Endpoint, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Send a request with the token where `backup` and `device-type` put it."""
    return ask(endpoint.url, method, path, body, Authorization=endpoint.token)
