"""Sign temporary download addresses that work without a token."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from django.core import signing
from django.http import HttpRequest
from psycopg import Connection

from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb.tokens import still_may
from backups_portal.tagoio_api.envelope import ApiError, moment

LIFETIME = timedelta(hours=1)


def sign_path(purpose: str, claim: JsonObject) -> str:
    """Sign a claim for use in an address."""
    return signing.dumps(claim, salt=f"api {purpose}", compress=True)


def read_path(purpose: str, text: str) -> JsonObject:
    """Read a claim that `sign_path` signed.

    Raises:
        ApiError: it was changed, serves another purpose, or has expired.
    """
    try:
        claim = signing.loads(text, salt=f"api {purpose}", max_age=LIFETIME)
    except signing.SignatureExpired as error:
        raise ApiError("This address has expired: ask for a new one") from error
    except signing.BadSignature as error:
        raise ApiError("This address is not valid") from error
    return dict(claim)


def check_asker(connection: Connection, claim: JsonObject) -> None:
    """Check that the token that requested an address, `t`, may still read.

    Raises:
        ApiError: the token is missing, was revoked or has expired.
    """
    if not still_may(connection, claim.get("t"), "read"):
        raise ApiError(
            "This address no longer works: the token that asked for it was revoked or has expired",
            HTTPStatus.FORBIDDEN,
        )


def offer(request: HttpRequest, path: str, *, size: int) -> JsonObject:
    """Describe a download for clients, at a path that was signed just now.

    Args:
        size: In bytes; clients show it in the unit that fits.
    """
    amount, unit = float(size), "B"
    for larger in ("KB", "MB", "GB", "TB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return {
        "url": request.build_absolute_uri(path),
        "size": round(amount, 2),
        "size_unit": unit,
        "expire_at": moment(datetime.now(UTC) + LIFETIME),
    }
