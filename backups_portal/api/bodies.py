"""Bodies of requests: JSON in UTF-8, or nothing at all."""

from typing import Any, ClassVar

import orjson
from django.http import HttpRequest
from ninja.parser import Parser
from pydantic import BaseModel, ConfigDict, Field, model_validator

from backups_portal.api.envelope import ApiError


def body_of(request: HttpRequest) -> Any:
    """What the body says; {} for none, which the Python SDK announces as JSON all the same.

    Raises:
        ApiError: it is not JSON.
    """
    body = request.body
    if not body:
        return {}
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(f"The body is not JSON: {error}") from error


class BodyParser(Parser):
    """Bodies of the routes that declare what they take."""

    def parse_body(self, request: HttpRequest) -> Any:
        return body_of(request)


class Tag(BaseModel):
    """A key and a value; the order of tags is kept, and one may come twice."""

    key: str
    value: str


class Body(BaseModel):
    """An object that a client sends; keys that are not declared are kept as they are."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Any) -> Any:
        """Clients write null where they have nothing to say."""
        if isinstance(values, dict):
            return {
                key: value
                for key, value in values.items()
                if value is not None or cls._keeps_null(key)
            }
        return values

    @classmethod
    def _keeps_null(cls, key: str) -> bool:
        return False

    def given(self) -> dict[str, Any]:
        """What the client named."""
        return self.model_dump(exclude_unset=True)


class Named(Body):
    """What most kinds of resources have in common."""

    name: str = Field(min_length=1, max_length=1000)
    tags: list[Tag] = []


class Changes(Body):
    """What an edit takes: null empties what may be empty, and leaves alone what may not."""

    clearable: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def _keeps_null(cls, key: str) -> bool:
        return key not in cls.model_fields or key in cls.clearable


class Renamed(Changes):
    """What an edit of most kinds of resources takes."""

    name: str | None = Field(None, min_length=1, max_length=1000)
    tags: list[Tag] | None = None
