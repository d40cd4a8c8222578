"""How the command line asks."""

from typing import Any

from tests.contract.conftest import Endpoint
from tests.contract.http import ask


def result(endpoint: Endpoint, method: str, path: str, body: Any = None, token: str = "") -> Any:
    """What the command line reads of an answer; with a device's token where it uses one."""
    status, answer = ask(endpoint.url, method, path, body, token=token or endpoint.token)
    assert status == 200, answer
    return answer


def bare(endpoint: Endpoint, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """The same, with the token where `backup` and `device-type` put it."""
    return ask(endpoint.url, method, path, body, Authorization=endpoint.token)
