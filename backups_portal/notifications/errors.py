"""Errors of notifications, whose messages are fit for a page."""

from datetime import datetime

from backups_portal.lib.refusals import RefusedError


class UndeliveredError(Exception):
    """A message was not delivered; a retry may succeed.

    Attributes:
        retry_at: When the receiver asks for the retry; None if it does not say.
    """

    def __init__(self, message: str, *, retry_at: datetime | None = None) -> None:
        super().__init__(message)
        self.retry_at = retry_at


class UnwantedError(Exception):
    """A message is no longer wanted."""


class NotificationsRefusedError(RefusedError):
    """The settings are invalid, or a test message has to wait."""
