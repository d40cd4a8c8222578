"""Errors of notifications; each message is fit for a page."""

from datetime import datetime


class UndeliveredError(Exception):
    """It did not arrive, and may the next time.

    Attributes:
        retry_at: When the receiver wants to be asked again; None if it does not say.
    """

    def __init__(self, message: str, *, retry_at: datetime | None = None) -> None:
        super().__init__(message)
        self.retry_at = retry_at


class UnwantedError(Exception):
    """It needs not arrive any more."""


class NotificationsRefusedError(Exception):
    """The settings cannot be like this.

    Attributes:
        field: The field of the form that is wrong.
    """

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field
