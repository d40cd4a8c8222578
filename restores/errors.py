"""Why a restore is not begun, or a check not kept."""

from collections.abc import Mapping


class RestoreRefusedError(Exception):
    """The request for a restore cannot be granted; the message is fit for a page.

    Attributes:
        field: The form field that is wrong, the first of several, or None where none is.
        errors: Every field that is wrong with its message, or None with what is wrong of the whole.
        status: The HTTP status that fits: 400 for bad input, 409 for a state that forbids it.
    """

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        status: int = 400,
        errors: Mapping[str | None, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.status = status
        self.errors = errors or {field: message}


class ChargesChangedError(RestoreRefusedError):
    """What was accepted is not what the new project costs now."""


class CheckRefusedError(Exception):
    """A check that cannot be; nothing was saved.

    Attributes:
        errors: The wrong field (`device`, `variable`, `hours`, `at_least`, `low` or `high`), or
            None for the whole, and its sentence.
    """

    def __init__(self, errors: Mapping[str | None, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors
