"""Lock objects of an S3 bucket against deletion and replacement.

obstore knows nothing of it, so these few requests go through botocore. A lock is only ever made
longer. Which rights the requests need is told at
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

# What servers say of a bucket without object lock, of an object without a lock, of one that is not
# there or was deleted, and to who may not.
NO_LOCK_HERE = {"ObjectLockConfigurationNotFoundError", "InvalidRequest", "NotImplemented"}
NOT_LOCKED = {"NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"}
MISSING = {"NoSuchKey", "404", "MethodNotAllowed"}
DENIED = {"AccessDenied", "403", "Forbidden", "ObjectLocked", "InvalidRetentionPeriod"}


@dataclass(frozen=True)
class Retention:
    """The lock of an object's present version."""

    mode: LockMode
    until: datetime


def whole_second(moment: datetime) -> datetime:
    """Round a moment up to whole seconds: locks know no smaller units."""
    moment = moment.astimezone(UTC)
    return moment + timedelta(microseconds=-moment.microsecond % 1_000_000)


class BucketLock:
    """Locks objects in one folder of a bucket.

    Args:
        prefix: The folder, without a slash at either end; "" is the whole bucket.
        name: What messages call the storage.
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
        """Make sure, once, that the bucket knows locks.

        A server that does not may take the request for a lock as the object's new content.

        Raises:
            LockRefusedError: it does not, or does not tell.
        """
        with self._checking:
            if self._is_known:
                return
            answer: Answer = {}
            with self.asked("does not tell whether its bucket has object lock", NO_LOCK_HERE):
                answer = self.client.get_object_lock_configuration(Bucket=self.bucket)
            if answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") != "Enabled":
                raise self._without_lock()
            self._is_known = True

    def lock(
        self, key: str, until: datetime, *, least: datetime | None = None, is_new: bool = False
    ) -> datetime:
        """Lock an object until a moment; a lock that lasts longer stays.

        Args:
            least: So does one that lasts until then.
            is_new: It was just written, so that nobody asks first whether it is locked.

        Returns:
            Until when it is locked.

        Raises:
            LockRefusedError: it cannot be locked; the message says what to do.
            StorageError: the server does not answer.
        """
        self.check()
        until = whole_second(until)
        try:
            return self._extend(key, until, least or until, None if is_new else self.found(key))
        except LockRefusedError:
            if not is_new:
                raise
            # A bucket with a period of its own has locked it already.
            return self._extend(key, until, least or until, self.found(key))

    def _extend(
        self, key: str, until: datetime, least: datetime, found: Retention | None
    ) -> datetime:
        if found and found.until >= least:
            return found.until
        # A lock can be made longer in its own mode only.
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
        """Return the lock that an object has, also one that is over.

        Raises:
            LockRefusedError: the server does not tell.
            StorageError: the server does not answer, or there is no such object.
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
        """Turn what goes wrong meanwhile into our errors.

        Args:
            quiet: Codes of answers that are none.
            key: The object that is asked for, if it may be missing.

        Raises:
            LockRefusedError: the server refuses; the message says what to do.
            MissingObjectError: there is no such object.
            StorageError: it does not answer, or something else.
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

    def _without_lock(self) -> LockRefusedError:
        return LockRefusedError(
            f"{self.name} cannot lock backups: the bucket {self.bucket} has no object lock. Turn "
            f"it on for the bucket, or take `{OBJECT_LOCK}` out of the storage's URL."
        )
