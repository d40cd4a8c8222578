"""Each call of both APIs has a command to paste, whose body is valid."""

import gzip
import json
import shlex
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from django.conf import settings
from django.test import RequestFactory
from pydantic import BaseModel

from backups_portal.portal_api.api import api as portal_api
from backups_portal.tagoio_api.api import api as tagoio_api
from backups_portal.tagoio_api.reference_page import reference
from backups_portal.ui.curl_examples import command, curl_arguments
from backups_portal.ui.openapi_pages import groups_of

ORIGIN = "https://api.example.com"
APIS = {"portal": (portal_api, "/api/v1"), "projects": (tagoio_api, "")}


@pytest.mark.parametrize("name", APIS)
def test_every_call_has_a_command(name: str) -> None:
    api, root = APIS[name]
    description: Any = api.get_openapi_schema(path_prefix=root)
    calls = [call for group in groups_of(api, root=root) for call in group.operations]
    assert len({call.anchor for call in calls}) == len(calls)
    for call in calls:
        curl, address, *arguments = shlex.split(call.curl(ORIGIN).replace("\\\n", ""))
        assert (curl, "{" in address) == ("curl", False)
        assert address.startswith(f"{ORIGIN}{root}/")
        given = list(zip(arguments[::2], arguments[1::2], strict=True))
        assert (("-X", call.method) in given) is (call.method != "GET")
        assert any("YOUR-TOKEN" in value for _, value in given) is call.needs_token
        operation = description["paths"][call.path][call.method.lower()]
        bodies = [value for name, value in given if name == "-d"]
        assert bool(bodies) is ("requestBody" in operation)
        for body in bodies:
            media = operation["requestBody"]["content"]["application/json"]
            whole = {**media.get("schema", {}), "components": description["components"]}
            jsonschema_rs.validate(whole, json.loads(body))


def models_of(package: str, base: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        if model.__module__.startswith(f"{package}."):
            yield model
        yield from models_of(package, model)


@pytest.mark.parametrize("package", ["portal_api", "tagoio_api"])
def test_every_schema_has_a_name_of_its_own(package: str) -> None:
    """OpenAPI lists schemas by class name, so that a second one replaces the first."""
    models = {*models_of(f"backups_portal.{package}")}
    assert len(models) > 10
    names = Counter(model.__name__ for model in models)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.urls("backups_portal.tagoio_api.urls")
def test_the_page_of_the_projects_api_is_small_and_leads_to_the_portal() -> None:
    request = RequestFactory().get("/docs", headers={"Accept-Encoding": "gzip"})
    response = reference(request)
    assert len(response.content) < 40_000
    page = gzip.decompress(response.content).decode()
    assert f'href="{settings.PORTAL_URL}">Open the portal</a>' in page
    assert "curl http://testserver/device " in page


def test_a_command_is_broken_into_lines_and_quoted() -> None:
    operation = {
        "security": [{"Token": []}],
        "parameters": [{"name": "file", "in": "query", "required": True}],
        "requestBody": {
            "content": {
                "application/json": {
                    "schema": {"type": "object", "properties": {"name": {"type": "string"}}}
                }
            }
        },
    }
    components = {"securitySchemes": {"Token": {"type": "apiKey", "name": "token"}}}
    path, arguments = curl_arguments("put", "/files/{file_id}", operation, components)
    assert command(f"{ORIGIN}{path}", arguments) == (
        "curl 'https://api.example.com/files/FILE_ID?file=FILE' \\\n"
        "  -X PUT \\\n"
        "  -H 'token: YOUR-TOKEN' \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        """  -d '{"name": "NAME"}'"""
    )
