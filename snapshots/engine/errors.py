"""What can go wrong with a snapshot; each message is a sentence that an owner understands."""


class EngineError(Exception):
    """A snapshot could not be taken, read or restored; `str()` of it is fit for a page."""


class StorageError(EngineError):
    """The storage could not be read or written."""


class MissingObjectError(StorageError):
    """The storage lacks an object that it should hold."""


class UnkeptObjectError(StorageError):
    """The storage took an object and gave back another one."""


class ExistingObjectError(StorageError):
    """Another writer has stored an object of that name."""


class EncryptionError(EngineError):
    """An object cannot be decrypted: its key is missing or another one, or it was changed."""


class DamagedSnapshotError(EngineError):
    """What storage returned is not what the snapshot recorded."""


class UnsupportedFormatError(EngineError):
    """The snapshot was written by a newer version of this software."""


class SourceError(EngineError):
    """The main database could not be read."""
