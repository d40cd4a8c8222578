"""Idempotent requests by `Idempotency-Key`, after the IETF draft."""

import uuid
from typing import Annotated

from ninja import Header

from backups_portal.accounts.models import Account
from backups_portal.portal_api.problem_details import ProblemError

NAMESPACE = uuid.UUID("5f0d4f0c-3c0e-4a5b-9d0b-6a3c2f6f1b7e")
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=255,
        description="Any value you choose: sending it again returns what the first request created",
    ),
]


def request_key(account: Account, key: str | None) -> uuid.UUID:
    """Derive a UUID from the account and its key; without a key, a random one."""
    return uuid.uuid5(NAMESPACE, f"{account.pk} {key}") if key else uuid.uuid4()


def check_same(*, is_same: bool) -> None:
    """Refuse a key that was already used for a different request.

    Raises:
        ProblemError: `is_same` is false.
    """
    if not is_same:
        raise ProblemError.of_field(
            "Idempotency-Key",
            "This Idempotency-Key was already used for another request. Use a new one.",
            code="idempotency_key_reused",
        )
