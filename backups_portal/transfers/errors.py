"""Define what can be wrong with a transfer."""

from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.refusals import RefusedError

DEVICE_GONE = "A device of the target was deleted in the meantime."
SHUT_DOWN = "{name} is shut down. Start it again on its Overview page, then try again."


class TransferRefusedError(RefusedError):
    """The transfer, import or export cannot be done."""


class TransferError(Exception):
    """A run cannot go on; the sentence is fit for a page.

    Attributes:
        cause: The same for programs.
    """

    def __init__(self, message: str, *, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause


class LockedOutError(TransferError):
    """Another session keeps a table or rows locked; later it may go on."""


class StoppedError(Exception):
    """Its owner wants the run to stop here."""
