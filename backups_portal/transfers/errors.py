"""What can be wrong with a transfer."""


class TransferRefusedError(Exception):
    """The request cannot be granted; the message is fit for a page.

    Attributes:
        field: The form field that is wrong, or None where none is.
        status: The HTTP status that fits.
    """

    def __init__(self, message: str, *, field: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.status = status


class TransferError(Exception):
    """A run cannot go on; the sentence is fit for a page."""


class StoppedError(Exception):
    """Its owner wants the run to stop here."""
