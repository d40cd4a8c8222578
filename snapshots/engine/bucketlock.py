"""Object lock of an S3 bucket: until a moment nobody can delete or replace a version of an object.

obstore knows nothing of it, so these few requests go through botocore, which is imported by the
first of them and not before. A lock is only ever made longer. Who may do what is told at
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from threading import Lock
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from snapshots.engine.errors import LockRefusedError, MissingObjectError, StorageError

# The parameter of a storage's URL.
OBJECT_LOCK = "object_lock"
SCHEMES = ("s3", "s3a")
# obstore's own default.
REGION = "us-east-1"
# What obstore calls each, without `aws_` in front; the first that is given counts.
NAMES = {
    "access_key_id": ("access_key_id",),
    "secret_access_key": ("secret_access_key",),
    "session_token": ("session_token", "token"),
    "region": ("region", "default_region"),
    "endpoint": ("endpoint_url_s3", "endpoint", "endpoint_url"),
    "virtual_hosted": ("virtual_hosted_style_request",),
}
# Durations as obstore takes them, in seconds.
UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
DURATION = re.compile(r"(\d+) ?(ms|s|sec|m|min|h)")
# What servers say of a bucket without object lock, of an object without a lock, of one that is not
# there or was deleted, and to who may not.
NO_LOCK_HERE = {"ObjectLockConfigurationNotFoundError", "InvalidRequest", "NotImplemented"}
NOT_LOCKED = {"NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"}
MISSING = {"NoSuchKey", "404", "MethodNotAllowed"}
DENIED = {"AccessDenied", "403", "Forbidden", "ObjectLocked", "InvalidRetentionPeriod"}
# At one time, of all threads.
CONNECTIONS = 16


class LockMode(StrEnum):
    """Who can undo a lock: an account with a special right, or nobody."""

    GOVERNANCE = "governance"
    COMPLIANCE = "compliance"


@dataclass(frozen=True)
class Retention:
    """The lock of an object's present version."""

    mode: LockMode
    until: datetime


@dataclass(frozen=True)
class Access:
    """How botocore reaches a bucket; what is empty it finds by itself.

    Attributes:
        connect_timeout, read_timeout: Seconds.
    """

    region: str = REGION
    endpoint: str = ""
    is_virtual_hosted: bool = False
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    proxy: str = field(default="", repr=False)
    verify: bool = True
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    attempts: int = 6


def whole_second(moment: datetime) -> datetime:
    """The first whole second that is not before a moment: locks know no smaller ones."""
    moment = moment.astimezone(UTC)
    return moment + timedelta(microseconds=-moment.microsecond % 1_000_000)


class BucketLock:
    """Locks objects in one folder of a bucket.

    Args:
        prefix: The folder, without a slash at either end; "" is the whole bucket.
        name: What messages call the storage.
    """

    def __init__(self, mode: LockMode, bucket: str, prefix: str, access: Access, name: str) -> None:
        self.mode = mode
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        self._access = access
        self.name = name
        self._is_known = False
        self._checking = Lock()

    @property
    def client(self) -> Any:
        """Of botocore; threads may share it."""
        return _client(self._access)

    def check(self) -> None:
        """Make sure, once, that the bucket knows locks.

        A server that does not may take the request for a lock as the object's new content.

        Raises:
            LockRefusedError: it does not, or does not tell.
        """
        with self._checking:
            if self._is_known:
                return
            answer: dict[str, Any] = {}
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
        """The lock that an object has, also one that is over.

        Raises:
            LockRefusedError: the server does not tell.
            StorageError: the server does not answer, or there is no such object.
        """
        answer: dict[str, Any] = {}
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
            key: The object that is asked for, where it may be missing.

        Raises:
            LockRefusedError: the server refuses; the message says what to do.
            MissingObjectError: there is no such object.
            StorageError: it does not answer, or something else.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code not in quiet:
                raise self._refusal(what, code, key, error) from error
        except BotoCoreError as error:
            raise StorageError(f"{self.name} {what}: {error}") from error

    def _refusal(self, what: str, code: str, key: str, error: Exception) -> StorageError:
        if key and code in MISSING:
            return MissingObjectError(f"{self.name} lacks {key}.")
        if code in DENIED:
            return LockRefusedError(
                f"{self.name} {what}. Allow the key of the bucket s3:PutObjectRetention, "
                "s3:GetObjectRetention and s3:GetBucketObjectLockConfiguration."
            )
        return StorageError(f"{self.name} {what}: {error}")

    def _without_lock(self) -> LockRefusedError:
        return LockRefusedError(
            f"{self.name} cannot lock backups: the bucket {self.bucket} has no object lock. Turn "
            f"it on for the bucket, or take `{OBJECT_LOCK}` out of the storage's URL."
        )


def open_lock(
    parts: SplitResult,
    config: Mapping[str, str],
    connection: Mapping[str, str],
    attempts: int,
    name: str,
) -> BucketLock | None:
    """The lock that a storage's URL asks for; None where it asks for none.

    Args:
        config: Its parameters, with names in lower case.
        connection: Those of the connection, as obstore takes them, with their defaults.
        attempts: How often a request is sent at most.

    Raises:
        ValueError: it asks for something else than there is.
    """
    if OBJECT_LOCK not in config:
        return None
    if config[OBJECT_LOCK] not in set(LockMode):
        raise ValueError(f"{OBJECT_LOCK} is neither governance nor compliance")
    if parts.scheme not in SCHEMES:
        raise ValueError(f"{OBJECT_LOCK} is for buckets of S3, whose URL begins with s3://")
    bucket = parts.netloc
    return BucketLock(
        LockMode(config[OBJECT_LOCK]),
        bucket,
        unquote(parts.path).strip("/"),
        _access(bucket, config, connection, attempts),
        name,
    )


def _access(
    bucket: str, config: Mapping[str, str], connection: Mapping[str, str], attempts: int
) -> Access:
    given = {ours: _given(config, names) for ours, names in NAMES.items()}
    is_virtual_hosted = given["virtual_hosted"].lower() in ("1", "true", "on", "yes")
    endpoint = given["endpoint"]
    return Access(
        region=given["region"] or REGION,
        endpoint=_without_bucket(endpoint, bucket) if is_virtual_hosted else endpoint,
        is_virtual_hosted=is_virtual_hosted or not endpoint,
        access_key_id=given["access_key_id"],
        secret_access_key=given["secret_access_key"],
        session_token=given["session_token"],
        proxy=connection["proxy_url"],
        verify=connection["allow_invalid_certificates"].lower() not in ("1", "true", "on", "yes"),
        connect_timeout=_seconds("connect_timeout", connection["connect_timeout"]),
        read_timeout=_seconds("read_timeout", connection["read_timeout"]),
        attempts=attempts,
    )


def _given(config: Mapping[str, str], names: tuple[str, ...]) -> str:
    """A parameter as obstore finds it: in the URL, with `aws_` in front or not, or around it."""
    for name in names:
        if found := config.get(name) or config.get(f"aws_{name}"):
            return found
    return next((found for name in names if (found := os.environ.get(f"AWS_{name.upper()}"))), "")


def _without_bucket(endpoint: str, bucket: str) -> str:
    """obstore is given the host with the bucket in it; botocore puts the bucket there itself."""
    if not endpoint:
        return ""
    parts = urlsplit(endpoint)
    if not parts.netloc.startswith(f"{bucket}."):
        raise ValueError(
            f"{OBJECT_LOCK} needs an endpoint whose host begins with the bucket's name"
        )
    return parts._replace(netloc=parts.netloc.removeprefix(f"{bucket}.")).geturl()


def _seconds(name: str, text: str) -> float:
    found = DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{name} is not a duration such as 30s")
    return int(found[1]) * UNITS[found[2]]


# Making one takes longer than using it; a process knows two storages at most.
@lru_cache(maxsize=4)
def _client(access: Access) -> Any:
    import botocore.session
    from botocore.config import Config

    keys = {
        "aws_access_key_id": access.access_key_id,
        "aws_secret_access_key": access.secret_access_key,
        "aws_session_token": access.session_token,
    }
    return botocore.session.Session().create_client(
        "s3",
        region_name=access.region,
        endpoint_url=access.endpoint or None,
        verify=None if access.verify else False,
        **{name: value for name, value in keys.items() if value},
        config=Config(
            s3={"addressing_style": "virtual" if access.is_virtual_hosted else "path"},
            proxies=dict.fromkeys(("http", "https"), access.proxy) if access.proxy else None,
            connect_timeout=access.connect_timeout,
            read_timeout=access.read_timeout,
            retries={"total_max_attempts": access.attempts, "mode": "standard"},
            max_pool_connections=CONNECTIONS,
        ),
    )
