"""An account's API tokens: make, find and revoke them; values are not stored."""

import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from backups_portal.access_tokens.models import AccessToken
from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import record
from backups_portal.lib.crypto import Keyring
from backups_portal.lib.limits import Limit
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.refusals import RefusedError

log = get_logger(__name__)

# Secret scanners recognise a token by this prefix.
PREFIX = "bp_"
RANDOM_BYTES = 20
VALUE = re.compile(rf"{PREFIX}[0-9a-f]{{{2 * RANDOM_BYTES}}}")
NOTED_EVERY = timedelta(minutes=1)
# A program that keeps using a refused token must not fill the audit log.
TOLD_SECONDS = 15 * 60
NAME_TAKEN = "access_token_name_unique_per_account"


class NameTakenError(RefusedError):
    """Another token of the account has this name."""


class NewAccessToken(NamedTuple):
    """A new token with its value, which cannot be read again."""

    row: AccessToken
    value: str


def tokens_of(account: Account) -> QuerySet[AccessToken]:
    """Return the account's tokens that were not revoked, newest first."""
    return AccessToken.objects.unrevoked().filter(account=account)


@transaction.atomic
def make_access_token(
    *, account: Account, name: str, scopes: Collection[str], expires_at: datetime | None
) -> NewAccessToken:
    """Make a token that acts for the account within its scopes.

    Raises:
        NameTakenError: the account already has a token of this name.
    """
    value = f"{PREFIX}{secrets.token_hex(RANDOM_BYTES)}"
    try:
        row = AccessToken.objects.create(
            account=account,
            name=name,
            digest=_digest(value),
            last_four=value[-4:],
            scopes=sorted(scopes),
            expires_at=expires_at,
        )
    except IntegrityError as error:
        if NAME_TAKEN not in str(error):
            raise
        raise NameTakenError(
            f"You already have a token named “{name}”. Revoke it, or choose another name.",
            field="name",
        ) from error
    details = {
        "last_four": row.last_four,
        "scopes": ", ".join(row.scopes),
        "expires_at": expires_at.isoformat() if expires_at else "never",
    }
    record(action="account.token_created", actor=account, subject=name, details=details)
    return NewAccessToken(row, value)


@transaction.atomic
def revoke_access_token(*, account: Account, token_id: int) -> AccessToken | None:
    """Revoke one of the account's tokens; return None if it has none such."""
    live = tokens_of(account).filter(pk=token_id)
    row = live.first()
    if row is None or not live.update(revoked_at=timezone.now()):
        return None
    record(
        action="account.token_revoked",
        actor=account,
        subject=row.name,
        details={"last_four": row.last_four},
    )
    return row


def find_access_token(value: str) -> AccessToken | None:
    """Find the token with this value.

    `refusal_of` tells whether it still works.
    """
    if not VALUE.fullmatch(value):
        return None
    return AccessToken.objects.select_related("account").filter(digest=_digest(value)).first()


def refusal_of(token: AccessToken) -> str:
    """Explain in a sentence why a token no longer works; "" if it does."""
    if token.revoked_at is not None:
        return "This token was revoked."
    if token.has_expired:
        return "This token has expired."
    if not token.account.is_active:
        return "This token's account is closed."
    return ""


def note_use(token: AccessToken) -> None:
    """Record that a token was used now, to the minute."""
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > NOTED_EVERY:
        AccessToken.objects.filter(pk=token.pk).update(last_used_at=now)


def record_refused_use(token: AccessToken | None, reason: str, *, who: str) -> None:
    """Record a refused token, once per interval for each `who`.

    Args:
        token: None for an unknown token.
        who: Identifies repeats of the same refusal.
    """
    log.warning("token refused %s", reason, token=token.pk if token else "unknown")
    if Limit("token-refused-told", 1, TOLD_SECONDS).take(who):
        return
    record(
        action="account.token_refused",
        actor=token.account if token else None,
        subject=token.name if token else "an unknown token",
        details={"reason": reason, **({"last_four": token.last_four} if token else {})},
    )


def _digest(value: str) -> bytes:
    return Keyring.from_hex(settings.INSTALLATION_KEY).digest(value)
