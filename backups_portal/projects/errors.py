"""Refusals and errors of requests about projects."""

from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.refusals import RefusedError


class NameRefusedError(RefusedError):
    """A project cannot have this name; the message is fit for a page."""

    cause = Cause.NAME_REFUSED


class DatabaseUnreachableError(Exception):
    """The main database does not answer now; the message is fit for a page."""


class MembersRefusedError(RefusedError):
    """Members cannot be changed like this; the message is fit for a page."""


class ShutDownRefusedError(RefusedError):
    """A shut-down or a start is refused; the message is fit for a page."""


class ServerRefusedError(RefusedError):
    """A server cannot have this URL, or cannot be removed; the message says why."""
