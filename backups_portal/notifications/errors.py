"""Errors of notifications; each message is fit for a page."""


class UndeliveredError(Exception):
    """It did not arrive, and may the next time."""


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
