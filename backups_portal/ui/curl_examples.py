"""A curl command for each call of an OpenAPI description; placeholders are in capitals."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

Schema = Mapping[str, Any]
# Stops recursive schemas.
MAX_DEPTH = 4
FORMATS = {
    "date-time": "2026-01-31T08:00:00Z",
    "date": "2026-01-31",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def example(body: object) -> dict[str, Any]:
    """Document an example body of a route; placeholders are in capitals."""
    return {"requestBody": {"content": {"application/json": {"example": body}}}}


def curl_arguments(
    method: str, path: str, operation: Schema, components: Schema
) -> tuple[str, list[str]]:
    """Return the path with its query, and curl's other arguments."""
    arguments = [] if method.upper() == "GET" else ["-X", method.upper()]
    for header in _headers(operation, components):
        arguments += ["-H", header]
    body = _body(operation, components.get("schemas", {}))
    if body is not None:
        arguments += [
            "-H",
            "Content-Type: application/json",
            "-d",
            json.dumps(body, ensure_ascii=False),
        ]
    # {name} becomes NAME, because curl would expand braces.
    filled_in = re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), path)
    return f"{filled_in}{_query(operation)}", arguments


def command(address: str, arguments: list[str]) -> str:
    """Write the command for a shell, with one option and its value per line."""
    words = [shlex.quote(word) for word in arguments]
    pairs = [f"{name} {value}" for name, value in zip(words[::2], words[1::2], strict=True)]
    return " \\\n  ".join([f"curl {shlex.quote(address)}", *pairs])


def _query(operation: Schema) -> str:
    wanted = {
        parameter["name"]: parameter["name"].upper()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query" and parameter.get("required")
    }
    return f"?{urlencode(wanted)}" if wanted else ""


def _headers(operation: Schema, components: Schema) -> Iterator[str]:
    known = components.get("securitySchemes", {})
    for named in operation.get("security") or []:
        for scheme in (known[name] for name in named):
            if scheme["type"] == "apiKey":
                yield f"{scheme['name']}: YOUR-TOKEN"
            else:
                yield "Authorization: Bearer YOUR-TOKEN"
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "header" and parameter.get("required"):
            yield f"{parameter['name']}: {parameter['name'].upper()}"


def _body(operation: Schema, schemas: Schema) -> Any:
    """Return an example of the body, or None without a body."""
    content = operation.get("requestBody", {}).get("content", {})
    media = content.get("application/json", {})
    if "example" in media or "schema" not in media:
        return media.get("example")
    return _example(media["schema"], schemas, "value")


def _example(schema: Schema, schemas: Schema, name: str, depth: int = 0) -> Any:
    """Return a value that the schema allows; objects get what is required."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    for choices in ("anyOf", "oneOf", "allOf"):
        if choices in schema:
            return _example(_first(schema[choices]), schemas, name, depth)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    kinds = schema.get("type", "string")
    kind = kinds if isinstance(kinds, str) else next(kind for kind in kinds if kind != "null")
    if kind == "object":
        return _object(schema, schemas, depth + 1)
    if kind == "array":
        return [_example(schema.get("items", {}), schemas, name.rstrip("s"), depth + 1)]
    return _scalar(kind, schema, name)


def _first(choices: list[Schema]) -> Schema:
    return next(choice for choice in choices if choice.get("type") != "null")


def _object(schema: Schema, schemas: Schema, depth: int) -> dict[str, object]:
    members = schema.get("properties", {})
    names = schema.get("required") or list(members)[:1]
    if depth > MAX_DEPTH:
        return {}
    return {name: _example(members[name], schemas, name, depth) for name in names}


def _scalar(kind: str, schema: Schema, name: str) -> Any:
    if kind == "boolean":
        return True
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    return FORMATS.get(schema.get("format", ""), name.upper())
