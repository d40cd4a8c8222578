"""The settings of a bucket, for obstore (data) and botocore (locks).

obstore supports more kinds of buckets and more parameters than are named here; those are passed on
unchanged. A parameter passed to obstore overrides its value in the environment.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlsplit

from obstore.store import from_url

from backups_portal.lib.addresses.object_storage import ENDPOINTS, StorageAddress

S3 = ("s3", "s3a")
# The parameter of a storage's URL.
OBJECT_LOCK = "object_lock"
# Parameters of a URL that configure the connection instead of the bucket. `read_timeout` ends a
# request that makes no progress, `timeout` one that makes too little.
CONNECTION = {
    "connect_timeout": "5s",
    "read_timeout": "30s",
    "timeout": "900s",
    "allow_http": "",
    "allow_invalid_certificates": "",
    "proxy_url": "",
}
# A failed request is retried this often within this time, after 0.1 s, 0.2 s, 0.4 s …
RETRIES = {"max_retries": 5, "retry_seconds": 60}
# For S3: the server verifies our checksum of each object that it stores, and keeps it.
CHECKSUM, NO_CHECKSUM = "checksum_algorithm", "none"
# Settings that both libraries need, each with all of obstore's names for it. Every name may have
# the prefix `aws_`, and may be set in the environment instead of the URL; the first one found wins.
NAMES = {
    "access_key_id": ("access_key_id",),
    "secret_access_key": ("secret_access_key",),
    "session_token": ("session_token", "token"),
    "region": ("region", "default_region"),
    "endpoint": ("endpoint_url_s3", "endpoint", "endpoint_url"),
    "virtual_hosted_style_request": ("virtual_hosted_style_request",),
}
TRUE = ("1", "true", "on", "yes")
# Seconds per unit, in obstore's syntax of durations.
UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
DURATION = re.compile(r"(\d+) ?(ms|s|sec|m|min|h)")
# Schemes that an endpoint may have.
SCHEMES = ("http", "https")
# obstore's own default.
REGION = "us-east-1"
# botocore's limit on simultaneous connections, over all threads.
MAX_CONNECTIONS = 16

Pairs = tuple[tuple[str, str], ...]


class LockMode(StrEnum):
    """Whether an account with a special right can undo a lock, or none can."""

    GOVERNANCE = "governance"
    COMPLIANCE = "compliance"


@dataclass(frozen=True)
class BucketSettings:
    """The settings of one bucket.

    Attributes:
        url: The bucket and the folder in it, without parameters.
        parameters: The bucket's parameters, under obstore's names.
        connection: A value for each name in CONNECTION; may be empty.
        retry_seconds: How long a failed request is retried.
        lock: The mode in which objects are locked; None if they are not.
    """

    url: str
    bucket: str
    parameters: Pairs = field(repr=False)
    connection: Pairs = field(repr=False)
    max_retries: int
    retry_seconds: int
    lock: LockMode | None

    def open_store(self) -> Any:
        """Open the bucket with obstore.

        Raises:
            obstore.exceptions.BaseError: a parameter or its value is unknown.
        """
        options: Any = {
            "config": dict(self.parameters),
            "client_options": {name: value for name, value in self.connection if value},
            "retry_config": {
                "max_retries": self.max_retries,
                "retry_timeout": timedelta(seconds=self.retry_seconds),
            },
        }
        return from_url(self.url, **options)


def read_settings(address: StorageAddress) -> BucketSettings:
    """Read the settings of a bucket from its URL and the environment.

    Raises:
        ValueError: the URL asks for something unsupported.
    """
    given = dict(address.parameters)
    connection = {
        name: given.pop(name, os.environ.get(f"AWS_{name.upper()}", default))
        for name, default in CONNECTION.items()
    }
    retries = {name: _number(name, given.pop(name, value)) for name, value in RETRIES.items()}
    lock = _lock_mode(address, given)
    parameters = _of_s3(given) if address.scheme in S3 else given
    _check_addresses(address, parameters, connection["allow_http"].lower() in TRUE)
    settings = BucketSettings(
        url=address.url,
        bucket=address.bucket,
        parameters=tuple(parameters.items()),
        connection=tuple(connection.items()),
        lock=lock,
        **retries,
    )
    if lock:
        # Fail now if botocore cannot use the settings, instead of in the first backup.
        _client_options(settings)
    return settings


@lru_cache(maxsize=4)
def s3_client(settings: BucketSettings) -> Any:
    """Return botocore's client for a bucket, which threads may share.

    Creating a client takes longer than using it; a process has at most two storages.
    """
    # Imported on first use, because the import is slow.
    import botocore.session
    from botocore.config import Config

    options = _client_options(settings)
    config = Config(**options.pop("config"))
    session = botocore.session.Session()
    session.register_component("data_loader", _descriptions())
    return session.create_client("s3", config=config, **options)


@cache
def _descriptions() -> Any:
    """Return the loader of botocore's description of S3, which clients share."""
    from botocore.loaders import create_loader

    return create_loader()


def _client_options(settings: BucketSettings) -> dict[str, Any]:
    """Translate the settings into botocore's; it finds the rest itself."""
    given, connection = dict(settings.parameters), dict(settings.connection)
    endpoint, proxy = given.get("endpoint", ""), connection["proxy_url"]
    is_virtual = given.get("virtual_hosted_style_request", "").lower() in TRUE
    if is_virtual and endpoint:
        endpoint = _without_bucket(endpoint, settings.bucket)
    keys = ("access_key_id", "secret_access_key", "session_token")
    return {
        "region_name": given.get("region", REGION),
        "endpoint_url": endpoint or None,
        "verify": False if connection["allow_invalid_certificates"].lower() in TRUE else None,
        **{f"aws_{name}": given[name] for name in keys if name in given},
        "config": {
            "s3": {"addressing_style": "virtual" if is_virtual or not endpoint else "path"},
            "proxies": dict.fromkeys(("http", "https"), proxy) if proxy else None,
            "connect_timeout": _seconds("connect_timeout", connection["connect_timeout"]),
            "read_timeout": _seconds("read_timeout", connection["read_timeout"]),
            "retries": {"total_max_attempts": settings.max_retries + 1, "mode": "standard"},
            "max_pool_connections": MAX_CONNECTIONS,
        },
    }


def _lock_mode(address: StorageAddress, given: dict[str, str]) -> LockMode | None:
    """Remove the lock mode from the given parameters and return it."""
    wanted = [given.pop(name) for name in list(given) if name.lower() == OBJECT_LOCK]
    if not wanted:
        return None
    if wanted[0] not in set(LockMode):
        raise ValueError(f"{OBJECT_LOCK} is neither governance nor compliance")
    if address.scheme not in S3:
        raise ValueError(f"{OBJECT_LOCK} is for buckets of S3, whose URL begins with s3://")
    return LockMode(wanted[0])


def _of_s3(given: Mapping[str, str]) -> dict[str, str]:
    """Map each setting to one of NAMES, with the environment as the fallback."""
    lowered = {name.lower(): value for name, value in given.items()}
    found, known = {}, set()
    for name, others in NAMES.items():
        names = [f"{prefix}{each}" for each in others for prefix in ("", "aws_")]
        known.update(names)
        values = [lowered.get(each, "") for each in names]
        values += [os.environ.get(f"AWS_{each.upper()}", "") for each in others]
        if value := next(filter(None, values), ""):
            found[name] = value
    rest = {name: value for name, value in given.items() if name.lower() not in known}
    if f"AWS_{CHECKSUM.upper()}" not in os.environ:
        rest.setdefault(CHECKSUM, "SHA256")
    if rest.get(CHECKSUM) == NO_CHECKSUM:
        del rest[CHECKSUM]
    return {**found, **rest}


def _check_addresses(
    address: StorageAddress, parameters: Mapping[str, str], is_http_allowed: bool
) -> None:
    """Refuse addresses that obstore accepts but cannot use.

    Plain http then fails with only "builder error", and an endpoint without a scheme makes obstore
    panic.
    """
    endpoints = {name: parameters[name] for name in ENDPOINTS if parameters.get(name)}
    for name, endpoint in endpoints.items():
        if not _is_website(endpoint):
            raise ValueError(f"its {name} is not an address such as https://s3.example.com")
    used = [address.scheme, *(urlsplit(endpoint).scheme for endpoint in endpoints.values())]
    if "http" in used and not is_http_allowed:
        raise ValueError(
            "it is reached by http://, where everything can be read on the way: add "
            "allow_http=true to its URL to allow that, or write https://"
        )


def _is_website(endpoint: str) -> bool:
    if not endpoint.isascii() or " " in endpoint:
        return False
    try:
        parts = urlsplit(endpoint)
        return parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _number(name: str, value: str | int) -> int:
    if not str(value).isdecimal():
        raise ValueError(f"{name} is not a number")
    return int(value)


def _without_bucket(endpoint: str, bucket: str) -> str:
    """Remove the bucket from the host, because botocore adds it itself."""
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
