"""Errors of notifications; each message is fit for a page."""

from datetime import datetime

from backups_portal.lib.refusals import RefusedError


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


class NotificationsRefusedError(RefusedError):
    """The settings are not allowed, or a test message has to wait."""
