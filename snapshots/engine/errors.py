"""What can go wrong with a snapshot, each in a sentence for its owner."""

from backups_portal.lib.failure_causes import Cause


class EngineError(Exception):
    """A snapshot could not be taken, read or restored, in words for a page.

    Attributes:
        cause: The default of the class, unless the raising code knows better.
    """

    cause = Cause.UNEXPECTED

    def __init__(self, message: str, *, cause: Cause | None = None) -> None:
        super().__init__(message)
        if cause is not None:
            self.cause = cause


class StorageError(EngineError):
    """The storage could not be read or written."""

    cause = Cause.STORAGE


class MissingObjectError(StorageError):
    """The storage lacks an object that it should hold."""

    cause = Cause.DAMAGED


class UnkeptObjectError(StorageError):
    """The storage accepted an object but returned a different one."""


class LockRefusedError(StorageError):
    """The storage answered, but refused to lock an object."""


class ExistingObjectError(StorageError):
    """Another writer has already stored an object of this name."""


class EncryptionError(EngineError):
    """An object cannot be decrypted: its key is missing, wrong or changed."""

    cause = Cause.ENCRYPTION_KEY


class DamagedSnapshotError(EngineError):
    """What storage returned is not what the snapshot recorded."""

    cause = Cause.DAMAGED


class UnsupportedFormatError(EngineError):
    """The snapshot has a format or schema that this version cannot read."""

    cause = Cause.VERSION


class UntrackedError(EngineError):
    """The base cannot be built upon, so everything must be read."""


class SourceError(EngineError):
    """The main database could not be read."""

    cause = Cause.DATABASE_REFUSED
