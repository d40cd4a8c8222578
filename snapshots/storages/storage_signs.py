"""Names of the storages' signs of life, each for one place.

If the settings change to another storage, its signs start afresh: what was known of the previous
one, good or bad, does not apply.
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
