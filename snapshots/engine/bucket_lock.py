"""Lock objects of an S3 bucket against deletion and replacement.

obstore has no object lock, so these few requests go through botocore. A lock is only ever extended.
The rights that the requests need are described at
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from backups_portal.lib.addresses.url import without_secrets
from backups_portal.lib.loggers import get_logger
from snapshots.engine.bucket_settings import OBJECT_LOCK, BucketSettings, LockMode, s3_client
from snapshots.engine.errors import LockRefusedError, MissingObjectError, StorageError
from snapshots.engine.storage_reasons import NO_ANSWER, in_full

log = get_logger(__name__)

Answer = dict[str, Any]

# Error codes of servers: for a bucket without object lock, for an object without a lock, for an
# object that is missing or deleted, and for a caller without the right.
NO_LOCK_HERE = {"ObjectLockConfigurationNotFoundError", "InvalidRequest", "NotImplemented"}
NOT_LOCKED = {"NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"}
MISSING = {"NoSuchKey", "404", "MethodNotAllowed"}
DENIED = {"AccessDenied", "403", "Forbidden", "ObjectLocked", "InvalidRetentionPeriod"}


@dataclass(frozen=True)
class Retention:
    """The lock of an object's current version."""

    mode: LockMode
    until: datetime


def whole_second(moment: datetime) -> datetime:
    """Round a moment up to whole seconds, the smallest unit of a lock."""
    moment = moment.astimezone(UTC)
    return moment + timedelta(microseconds=-moment.microsecond % 1_000_000)


class BucketLock:
    """Locks objects in one folder of a bucket.

    Args:
        prefix: The folder, without a slash at either end; "" is the whole bucket.
        name: The storage's name in messages.
    """

    def __init__(self, mode: LockMode, settings: BucketSettings, prefix: str, name: str) -> None:
        self.mode = mode
        self.bucket = settings.bucket
        self.prefix = f"{prefix}/" if prefix else ""
        self._settings = settings
        self.name = name
        self._is_known = False
        self._checking = Lock()

    @property
    def client(self) -> Any:
        """Return botocore's client, which threads may share."""
        return s3_client(self._settings)

    def check(self) -> None:
        """Make sure, once, that the bucket supports object lock.

        A server without it may store the lock request as the object's new content.

        Raises:
            LockRefusedError: it does not, or the server refuses to say.
        """
        with self._checking:
            if self._is_known:
                return
            answer: Answer = {}
            with self.asked("does not tell whether its bucket has object lock", NO_LOCK_HERE):
                answer = self.client.get_object_lock_configuration(Bucket=self.bucket)
            if answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") != "Enabled":
                raise LockRefusedError(
                    f"{self.name} cannot lock backups: the bucket {self.bucket} has no object "
                    f"lock. Turn it on for the bucket, or take `{OBJECT_LOCK}` out of the "
                    "storage's URL."
                )
            self._is_known = True

    def lock(
        self, key: str, until: datetime, *, least: datetime | None = None, is_new: bool = False
    ) -> datetime:
        """Lock an object until a moment; keep a lock that lasts longer.

        Args:
            least: Keep an existing lock too if it lasts until then.
            is_new: The object was just written: skip asking for an existing lock first.

        Returns:
            The moment until which the object is locked.

        Raises:
            LockRefusedError: the object cannot be locked; the message says what to do.
            StorageError: the server does not answer.
        """
        self.check()
        until = whole_second(until)
        try:
            return self._extend(key, until, least or until, None if is_new else self.found(key))
        except LockRefusedError:
            if not is_new:
                raise
            # A bucket with a default retention period has locked it already.
            return self._extend(key, until, least or until, self.found(key))

    def _extend(
        self, key: str, until: datetime, least: datetime, found: Retention | None
    ) -> datetime:
        if found and found.until >= least:
            return found.until
        # Only a lock of the same mode can be extended.
        is_locked = found is not None and found.until > datetime.now(UTC)
        mode = found.mode if found and is_locked else self.mode
        with self.asked(f"refused to lock {key}", key=key):
            self.client.put_object_retention(
                Bucket=self.bucket,
                Key=self.prefix + key,
                Retention={"Mode": mode.upper(), "RetainUntilDate": until},
            )
        return until

    def found(self, key: str) -> Retention | None:
        """Return the lock that an object has, even an expired one.

        Raises:
            LockRefusedError: the server refuses to say.
            StorageError: the server does not answer, or the object does not exist.
        """
        answer: Answer = {}
        with self.asked(f"does not tell until when {key} is locked", NOT_LOCKED, key):
            answer = self.client.get_object_retention(Bucket=self.bucket, Key=self.prefix + key)
        retention = answer.get("Retention", {})
        if "Mode" not in retention or "RetainUntilDate" not in retention:
            return None
        mode = LockMode(retention["Mode"].lower())
        return Retention(mode, retention["RetainUntilDate"].astimezone(UTC))

    @contextmanager
    def asked(self, what: str, quiet: Collection[str] = (), key: str = "") -> Iterator[None]:
        """Turn botocore's errors into the engine's.

        Args:
            quiet: Error codes that mean "no result" and are ignored.
            key: The object of the request, if it may be missing.

        Raises:
            LockRefusedError: the server refuses; the message says what to do.
            MissingObjectError: the object does not exist.
            StorageError: the server does not answer, or fails in another way.
        """
        from botocore import exceptions

        try:
            yield
        except exceptions.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code not in quiet:
                raise self._refusal(what, code, key, error) from error
        except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
            log.warning("%s %s: %s", self.name, what, in_full(error))
            raise StorageError(f"{self.name} {what}: {NO_ANSWER}.") from error
        except exceptions.BotoCoreError as error:
            raise StorageError(f"{self.name} {what}: {without_secrets(str(error))}") from error

    def _refusal(self, what: str, code: str, key: str, error: Exception) -> StorageError:
        if key and code in MISSING:
            return MissingObjectError(f"{self.name} lacks {key}.")
        if code in DENIED:
            return LockRefusedError(
                f"{self.name} {what}. Allow the key of the bucket s3:PutObjectRetention, "
                "s3:GetObjectRetention and s3:GetBucketObjectLockConfiguration."
            )
        return StorageError(f"{self.name} {what}: {without_secrets(str(error))}")
