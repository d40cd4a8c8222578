"""Read request bodies: JSON in UTF-8, or nothing at all."""

import base64
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

import ninja
import orjson
from django.http import HttpRequest
from ninja.parser import Parser
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator
from pydantic.fields import FieldInfo

from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb.stored_json import DEEPEST, is_too_deep, may_be_deep, rounded_integer
from backups_portal.tagoio_api.envelope import ApiError


def body_of(request: HttpRequest) -> object:
    """Parse a body; {} if it is empty, which the Python SDK calls JSON, too.

    Raises:
        ApiError: it is not JSON, is nested more deeply than an answer can be, or has an integer
            that would be rounded.
    """
    body = request.body
    if not body:
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(
            f"The body is not valid JSON: see line {error.lineno}, column {error.colno}"
        ) from error
    if may_be_deep(body) and is_too_deep(value):
        raise ApiError(f"The body has more than {DEEPEST} levels of lists and objects")
    # Clients that copy what SQL has stored would otherwise lose digits without being told.
    if digits := rounded_integer(body):
        raise ApiError(f"{digits:.40} has more digits than a number keeps: send it as text")
    return value


def from_base64(text: str, *, validate: bool = False) -> bytes:
    """Decode a base64 file in a body.

    Args:
        validate: Refuse characters outside base64 instead of skipping them.

    Raises:
        ApiError: it is not base64.
    """
    try:
        return base64.b64decode(text, validate=validate)
    except ValueError as error:
        raise ApiError("file must be in base64") from error


class BodyParser(Parser):
    """The parser of bodies for routes that declare a schema."""

    def parse_body(self, request: HttpRequest) -> Any:
        return body_of(request)


# The body of a route: an object, or any JSON that the route checks itself.
SentObject = Annotated[JsonObject, ninja.Body()]
SentJson = Annotated[object, ninja.Body()]
# The id of a resource in any project.
ResourceId = Annotated[str, Field(pattern="^[0-9a-f]{24}$")]


def _takes_no_blank(field: FieldInfo) -> bool:
    """Tell whether a field is optional and a number, an id or a literal."""
    kinds = (field.annotation, *get_args(field.annotation))
    return not field.is_required() and any(
        kind in (int, float, ResourceId) or get_origin(kind) is Literal for kind in kinds
    )


class Tag(BaseModel):
    """A key and a value; tags keep their order and may repeat."""

    key: str
    value: str


class Body(BaseModel):
    """An object that a client sends.

    The catalogue tells which undeclared keys are stored as settings; all others are dropped.
    """

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: object) -> object:
        """Drop null, and "" for numbers and ids, which clients send for no value."""
        if isinstance(values, dict):
            return {key: value for key, value in values.items() if not cls._is_absent(key, value)}
        return values

    @classmethod
    def _is_absent(cls, key: str, value: object) -> bool:
        if value is None:
            return not cls._keeps_null(key)
        return value == "" and key in cls.model_fields and _takes_no_blank(cls.model_fields[key])

    @classmethod
    def _keeps_null(cls, key: str) -> bool:
        return False

    def given(self) -> JsonObject:
        """Return only the fields that the client sent."""
        return self.model_dump(exclude_unset=True)


class Named(Body):
    """The fields that most kinds of resources share."""

    name: str = Field(min_length=1, max_length=1000)
    tags: list[Tag] = []


class Changes(Body):
    """An edit: null clears a clearable field, and leaves any other as it is."""

    clearable: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def _keeps_null(cls, key: str) -> bool:
        return key not in cls.model_fields or key in cls.clearable


def changes_of(
    new: type[Body],
    name: str,
    about: str,
    *,
    clearable: Iterable[str] = (),
    fixed: Iterable[str] = (),
) -> type[Changes]:
    """Derive the schema of an edit, with all fields optional.

    Args:
        about: Its description in the OpenAPI document.
        clearable: Fields that null empties.
        fixed: Fields that cannot be edited.
    """
    fields: JsonObject = {}
    for key, made in new.model_fields.items():
        if made.annotation and key not in fixed:
            fields[key] = Annotated[made.annotation | None, Field(None), *made.metadata]
    changes = create_model(name, __base__=Changes, __doc__=about, **fields)
    changes.clearable = frozenset(clearable)
    return changes


Renamed = changes_of(Named, "Renamed", "The fields of most kinds of resources to change.")
