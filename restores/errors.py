"""Why a restore is not begun."""


class RestoreRefusedError(Exception):
    """The request for a restore cannot be granted; the message is fit for a page.

    Attributes:
        field: The form field that is wrong, or None where none is.
        status: The HTTP status that fits: 400 for bad input, 409 for a state that forbids it.
    """

    def __init__(self, message: str, *, field: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.status = status
