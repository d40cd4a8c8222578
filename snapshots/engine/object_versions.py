"""Find old versions of changed objects in a versioned bucket."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from snapshots.engine.bucket_lock import Answer, BucketLock

# Versions per answer: the maximum that S3 allows.
PAGE = 1000


@dataclass(frozen=True)
class Changed:
    """An object that has changed since a moment.

    Attributes:
        version: Its version at that moment.
        is_deleted: It was deleted, not overwritten.
    """

    key: str
    version: str
    is_deleted: bool


def changed_since(lock: BucketLock, moment: datetime) -> Iterator[Changed]:
    """Yield objects that existed at a moment and have other content now.

    Raises:
        StorageError: the server does not answer, or refuses.
    """
    for key, entries in groupby(_entries(lock), key=lambda entry: str(entry["Key"])):
        found = list(entries)
        was = _newest([entry for entry in found if entry["LastModified"] < moment])
        if was is None or _is_marker(was) or was["IsLatest"]:
            continue
        latest = next((entry for entry in found if entry["IsLatest"]), was)
        if _content(latest) == _content(was):
            # An earlier run has brought it back already.
            continue
        yield Changed(key.removeprefix(lock.prefix), str(was["VersionId"]), _is_marker(latest))


def bring_back(lock: BucketLock, changed: Changed) -> None:
    """Make an earlier version of an object the current one, deleting none.

    Raises:
        StorageError: the server does not answer, or refuses.
    """
    place = {"Bucket": lock.bucket, "Key": lock.prefix + changed.key}
    with lock.asked(f"could not bring back {changed.key}"):
        lock.client.copy_object(**place, CopySource={**place, "VersionId": changed.version})


def _entries(lock: BucketLock) -> Iterator[Answer]:
    """Yield versions and delete markers, grouped by object."""
    asking: dict[str, str] = {}
    while True:
        with lock.asked("could not list versions"):
            page = lock.client.list_object_versions(
                Bucket=lock.bucket, Prefix=lock.prefix, MaxKeys=PAGE, **asking
            )
        entries = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        yield from sorted(entries, key=lambda entry: str(entry["Key"]))
        if not page.get("IsTruncated"):
            return
        markers = ("KeyMarker", "VersionIdMarker")
        asking = {name: page[f"Next{name}"] for name in markers if page.get(f"Next{name}")}


def _newest(entries: list[Answer]) -> Answer | None:
    # Within the same second the current entry wins, then a deletion, which usually comes later.
    return max(
        entries,
        key=lambda entry: (entry["LastModified"], entry["IsLatest"], _is_marker(entry)),
        default=None,
    )


def _content(entry: Answer) -> tuple[object, object]:
    """Return what is equal in two versions if one is a copy of the other."""
    return entry.get("Size"), entry.get("ETag")


def _is_marker(entry: Answer) -> bool:
    return "Size" not in entry
