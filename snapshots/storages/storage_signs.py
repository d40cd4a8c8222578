"""Names of the signs of life of the storages, each of one storage alone.

Settings that name another storage begin with signs of its own: what was known of the last one,
good or bad, says nothing of it.
"""

from hashlib import sha256

from django.conf import settings

from snapshots.engine.storage import place_of

STORAGE, COPIES = "storage", "copies"


def storage_sign() -> str:
    """Name the sign of the storage of snapshots."""
    return _of(STORAGE, settings.SNAPSHOT_STORAGE)


def copies_sign() -> str:
    """Name the sign of the storage of copies."""
    return _of(COPIES, settings.SNAPSHOT_COPY_STORAGE)


def back_sign(sign: str) -> str:
    """Name the sign that a storage works again after it did not."""
    return f"{sign}:back"


def _of(name: str, url: str) -> str:
    return f"{name}:{sha256(place_of(url).encode()).hexdigest()[:16]}"
