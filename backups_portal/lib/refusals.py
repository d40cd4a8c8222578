"""Refusals of requests, with sentences to show to the person who asked."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any


class RefusedError(Exception):
    """The request cannot be granted; nothing was saved.

    Attributes:
        message: What is wrong, for all fields together.
        errors: A sentence by field of the form or body; None is the request as a whole.
        status: The HTTP status that fits: 400 for bad input, 409 for a state that forbids it.
    """

    def __init__(
        self,
        message: str = "",
        *,
        field: str | None = None,
        errors: Mapping[Any, str] | None = None,
        status: int = HTTPStatus.BAD_REQUEST,
    ) -> None:
        self.errors: Mapping[Any, str] = errors or {field: message}
        self.message = message or " ".join(self.errors.values())
        self.status = status
        super().__init__(self.message)

    @property
    def field(self) -> str | None:
        """Return the first wrong field, in the order of the page."""
        first: str | None = next(iter(self.errors))
        return first
