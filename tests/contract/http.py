"""Plain HTTP requests for what a test of an SDK has to prepare."""

import json
import urllib.error
import urllib.request
from typing import Any


def ask(url: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Send a request; return the status, and the result or the error message."""
    request = urllib.request.Request(  # noqa: S310 - a server of this test's own
        url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return response.status, json.load(response)["result"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["message"]
