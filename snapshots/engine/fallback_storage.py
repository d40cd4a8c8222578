"""Read from a second storage what the first one lacks or has damaged."""

from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from obstore.store import MemoryStore

from snapshots.engine.errors import (
    EngineError,
    LockRefusedError,
    MissingObjectError,
    StorageError,
    UnkeptObjectError,
)
from snapshots.engine.storage import Parsed, Storage, StoredObject

if TYPE_CHECKING:
    from obstore import GetResult

# Skip an unreachable store for this long; otherwise every object would wait for its retries.
AWAY_SECONDS = 60.0

OnUse = Callable[[str, EngineError], None]


class StorageWithCopy(Storage):
    """The first storage, with the copy as the fallback for each object read.

    An object counts as read once `parse` has accepted it (`Storage.read`), so one that was changed,
    cut or cannot be decrypted is taken from the copy too. Both storages may be encrypted, each with
    the data keys stored in it.

    Args:
        on_use: Called with the name of each object read from the copy, and the first error.

    Attributes:
        lost: Names of objects that the first storage lacks or has damaged.
    """

    def __init__(self, first: Storage, copy: Storage, on_use: OnUse) -> None:
        super().__init__(first._store, first._cipher, first.name, first.lock)
        self._first = first
        self._copy = copy
        self._on_use = on_use
        self._away_until = 0.0
        self.lost: set[str] = set()

    @property
    def places(self) -> Sequence[Storage]:
        return (self._first, self._copy)

    def get(self, key: str) -> bytes:
        return self.read(key, bytes)

    def read(self, key: str, parse: Callable[[bytes], Parsed]) -> Parsed:
        if monotonic() < self._away_until:
            return self._read_away(key, parse)
        try:
            return self._first.read(key, parse)
        except EngineError as error:
            if is_away(error):
                self._away_until = monotonic() + AWAY_SECONDS
            return self._read_copy(key, parse, error)

    def _read_away(self, key: str, parse: Callable[[bytes], Parsed]) -> Parsed:
        try:
            return self._copy.read(key, parse)
        except EngineError:
            # The object may have no copy yet, so the slow first storage is worth a try.
            return self._first.read(key, parse)

    def _read_copy(self, key: str, parse: Callable[[bytes], Parsed], error: EngineError) -> Parsed:
        try:
            parsed = self._copy.read(key, parse)
        except EngineError as second:
            if is_away(second) and not is_away(error):
                # The copy may well have it, so the snapshot does not count as damaged yet.
                raise StorageError(f"{error} {second}") from second
            raise error from second
        self._on_use(key, error)
        if not is_away(error):
            self.lost.add(key)
        return parsed


def is_away(error: EngineError) -> bool:
    """Tell whether a storage did not answer, so that nothing is known."""
    return isinstance(error, StorageError) and not isinstance(
        error, (MissingObjectError, UnkeptObjectError, LockRefusedError)
    )


class UnopenedStorage(Storage):
    """A storage that could not be opened: every read fails with the reason."""

    def __init__(self, reason: StorageError) -> None:
        super().__init__(MemoryStore())
        self._reason = reason

    def _find(self, key: str) -> "GetResult":
        raise StorageError(str(self._reason)) from self._reason

    def list(self, prefix: str) -> Iterator[StoredObject]:
        raise StorageError(str(self._reason)) from self._reason
