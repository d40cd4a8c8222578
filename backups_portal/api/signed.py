"""Addresses that work without a token, for a while: downloads that clients fetch bare."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core import signing
from django.http import HttpRequest

from backups_portal.api.envelope import ApiError, moment

LIFETIME = timedelta(hours=1)


def sign_path(purpose: str, claim: dict[str, Any]) -> str:
    """What stands for a claim in an address; nobody can make or change one."""
    return signing.dumps(claim, salt=f"api {purpose}", compress=True)


def read_path(purpose: str, text: str) -> dict[str, Any]:
    """The claim that `sign_path` was given.

    Raises:
        ApiError: it was changed, is of another purpose, or is too old.
    """
    try:
        claim = signing.loads(text, salt=f"api {purpose}", max_age=LIFETIME)
    except signing.SignatureExpired as error:
        raise ApiError("This address has expired: ask for a new one") from error
    except signing.BadSignature as error:
        raise ApiError("This address is not valid") from error
    return dict(claim)


def expiry() -> str:
    """When an address that is made now stops working."""
    return moment(datetime.now(UTC) + LIFETIME)


def address(request: HttpRequest, path: str) -> str:
    """A path at the origin that the client talks to."""
    return request.build_absolute_uri(path)


def in_units(size: int) -> tuple[float, str]:
    """A number of bytes as clients show it, with its unit."""
    amount, unit = float(size), "B"
    for larger in ("KB", "MB", "GB", "TB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return round(amount, 2), unit
