"""Errors of transfers, imports and exports."""

from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.refusals import RefusedError

DEVICE_GONE = "A device of the target was deleted in the meantime."
SHUT_DOWN = "{name} is shut down. Start it again on its Overview page, then try again."


class TransferRefusedError(RefusedError):
    """The transfer, import or export is refused."""


class TransferError(Exception):
    """A run cannot continue; the message can be shown on a page.

    Attributes:
        cause: The reason as a code for programs.
    """

    def __init__(self, message: str, *, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause


class LockedOutError(TransferError):
    """Another session holds a lock on a table or rows; a retry may succeed."""


class OccupiedError(Exception):
    """Another transfer is writing into the target; this one begins after it."""


class StoppedError(Exception):
    """The owner asked to pause or cancel the run."""
