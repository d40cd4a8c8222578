"""What can be wrong with a request for a project."""

from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.refusals import RefusedError


class NameRefusedError(RefusedError):
    """The name cannot be a project's; the message says why and is fit for a page."""

    cause = Cause.NAME_REFUSED


class TokenRefusedError(RefusedError):
    """A token cannot be made like this; the message says why and is fit for a page."""


class DatabaseUnreachableError(Exception):
    """The project's main database does not answer at the moment; fit for a page."""


class MembersRefusedError(RefusedError):
    """The members cannot be changed like this; the message says why and is fit for a page."""


class ShutDownRefusedError(RefusedError):
    """The project cannot be shut down or started again; the message is fit for a page."""


class ServerRefusedError(Exception):
    """An address is not that of a registered server; the sentence says what is missing there."""
