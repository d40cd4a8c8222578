"""Asking twice for one thing: the header `Idempotency-Key`, as the drafts of the IETF have it."""

import uuid
from http import HTTPStatus
from typing import Annotated

from ninja import Header

from backups_portal.accounts.models import Account
from backups_portal.automation.problems import ProblemError

NAMESPACE = uuid.UUID("5f0d4f0c-3c0e-4a5b-9d0b-6a3c2f6f1b7e")
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=255,
        description="Of your choice: the same key again answers with what the first one made",
    ),
]


def request_key(account: Account, key: str | None) -> uuid.UUID:
    """What makes two requests of an account the same; no account meets another's keys."""
    return uuid.uuid5(NAMESPACE, f"{account.pk} {key}") if key else uuid.uuid4()


def check_same(*, is_same: bool) -> None:
    """Refuse a key that was used for something else.

    Raises:
        ProblemError: it was.
    """
    if not is_same:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "This Idempotency-Key was used for another request. Take a new one.",
            code="idempotency_key_reused",
        )
