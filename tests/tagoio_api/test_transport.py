"""Rules for every route: addresses, errors, sizes, browsers of other origins."""

import io

import pytest
from django.test import Client
from pytest_django import Settings

from backups_portal.lib.wsgi_bridge import GATHERED_BYTES
from backups_portal.tagoio_api.auth import project_token_auth
from tests.tagoio_api.conftest import Api


@pytest.mark.parametrize("path", ["/device", "/device/", "/device//"])
def test_slashes_more_or_less_are_the_same_route(api: Api, path: str) -> None:
    assert api.get(path) == []


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nothing"), ("PATCH", "/device"), ("DELETE", "/status")]
)
def test_what_is_not_there_is_said_in_the_envelope(api: Api, method: str, path: str) -> None:
    status, message = api.call(method, path)
    assert (status in (404, 405), message) == (True, "Route not found")


def test_a_method_that_is_not_there_names_those_that_are(api: Api) -> None:
    response = api.client.patch("/device", headers={"token": api.token})
    assert response.status_code == 405
    assert set(response["Allow"].split(", ")) == {"GET", "POST"}


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"a": NaN}', b'"\\ud800"', b"nothing"])
def test_a_body_that_is_not_json_is_refused(api: Api, body: bytes) -> None:
    status, message = api.call("POST", "/device", body)
    assert status == 400
    assert message.startswith("The body is not valid JSON")


def test_a_body_may_be_so_large_and_no_larger(api: Api, settings: Settings) -> None:
    settings.API_MAX_BODY_BYTES = 1000
    assert api.post("/device", {"name": "x" * 900})
    assert api.call("POST", "/device", {"name": "x" * 1000}) == (
        413,
        "The body is larger than 0.001 MB",
    )


def test_browsers_of_other_origins_are_let_in(api: Api) -> None:
    response = api.client.options("/device", headers={"Origin": "https://example.com"})
    assert response.status_code == 200
    assert response["Access-Control-Allow-Origin"] == "*"
    assert "token" in response["Access-Control-Allow-Headers"]


def test_the_api_describes_itself(api: Api) -> None:
    described = Client().get("/openapi.json").json()
    assert {"/data", "/device/{device_id}/data", "/device/{resource_id}"} <= set(described["paths"])
    parameters = described["paths"]["/data"]["get"]["parameters"]
    assert {"qty", "skip", "query"} <= {parameter["name"] for parameter in parameters}


@pytest.mark.parametrize(("method", "path"), [("get", "/device"), ("options", "/device")])
def test_browsers_keep_to_https_and_to_what_an_answer_is(
    api: Api, settings: Settings, method: str, path: str
) -> None:
    settings.SECURE_HSTS_SECONDS = 1000
    response = getattr(api.client, method)(path, secure=True)
    assert response["Strict-Transport-Security"].startswith("max-age=1000")
    assert response["X-Content-Type-Options"] == "nosniff"
    # There is no redirect either.
    assert getattr(api.client, method)(path).status_code in (200, 401)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/device"), ("PUT", "/run"), ("DELETE", "/files")]
)
def test_a_large_form_is_read_as_any_body_before_a_connection_is_held(
    api: Api, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    events: list[str] = []

    class Body(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            events.append("read")
            return super().read(size)

    borrow = project_token_auth.borrow
    monkeypatch.setattr(
        project_token_auth, "borrow", lambda *args: (events.append("borrow"), borrow(*args))[1]
    )
    part = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n%b\r\n--b--\r\n'
    form = part % (b"x" * GATHERED_BYTES)
    response = api.client.generic(
        method,
        path,
        form,
        "multipart/form-data; boundary=b",
        headers={"token": api.token},
        **{"wsgi.input": Body(form)},
    )
    assert response.status_code == 400
    assert response.json()["message"].startswith("The body is not valid JSON")
    assert events.index("read") < len(events) - 1 - events[::-1].index("borrow")
