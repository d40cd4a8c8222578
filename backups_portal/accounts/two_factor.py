"""Codes as a second factor: TOTP (RFC 6238: SHA-1, six digits, thirty seconds), recovery codes.

Secrets are sealed with the installation's key. A code counts once: the step of the newest one is
kept, and no code of that step or an earlier one is taken again.
"""

import base64
import os
import secrets
import time

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from backups_portal.accounts.models import Account, RecoveryCode, SecondFactor
from backups_portal.lib.crypto import Keyring

ISSUER = "Backups Portal"
STEP_SECONDS = 30
DIGITS = 6
# The bytes of a secret that RFC 4226 recommends for SHA-1.
SECRET_BYTES = 20
# A clock may be a step ahead or behind.
STEPS_ASIDE = (0, -1, 1)
RECOVERY_CODES = 10
# Omit letters that look like another letter or a digit.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def is_on(account: Account) -> bool:
    """Tell whether signing in to the account asks for a code."""
    return SecondFactor.objects.filter(account=account, confirmed_at__isnull=False).exists()


def prepare(account: Account) -> SecondFactor:
    """Return the account's factor, made now if missing.

    It asks for nothing before it is confirmed.
    """
    sealed = _keyring().seal(base64.b32encode(os.urandom(SECRET_BYTES)).decode(), _purpose(account))
    return SecondFactor.objects.get_or_create(account=account, defaults={"sealed": sealed})[0]


def secret_of(factor: SecondFactor) -> str:
    """Return the secret in base 32, to be typed if no camera can be used."""
    return _keyring().open(factor.sealed, _purpose(factor.account))


def address_of_secret(factor: SecondFactor) -> str:
    """Return the `otpauth://` URI that authenticator apps read."""
    return _totp(factor).get_provisioning_uri(factor.account.email, ISSUER)


@transaction.atomic
def confirm(account: Account, code: str) -> list[str] | None:
    """Turn the second factor on; return recovery codes, or None if wrong."""
    factor = SecondFactor.objects.filter(account=account, confirmed_at=None).first()
    if factor is None or not _spend_code(factor, _digits(code)):
        return None
    SecondFactor.objects.filter(pk=factor.pk).update(confirmed_at=timezone.now())
    return new_recovery_codes(account)


@transaction.atomic
def turn_off(account: Account) -> bool:
    """Ask for no code any more; False if none was asked for."""
    RecoveryCode.objects.filter(account=account).delete()
    return bool(SecondFactor.objects.filter(account=account).delete()[0])


@transaction.atomic
def new_recovery_codes(account: Account) -> list[str]:
    """Make codes that each sign in once, instead of those before.

    Nothing can show them again.
    """
    codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.filter(account=account).delete()
    RecoveryCode.objects.bulk_create(
        RecoveryCode(account=account, digest=_digest(account, code)) for code in codes
    )
    return codes


def codes_left(account: Account) -> int:
    """Count the recovery codes that were not used."""
    return RecoveryCode.objects.filter(account=account, used_at=None).count()


def spend(account: Account, code: str) -> str:
    """Use up a code; return "app", "recovery", or "" if wrong or used."""
    factor = SecondFactor.objects.filter(account=account, confirmed_at__isnull=False).first()
    if factor is None:
        return ""
    if (digits := _digits(code)).isdigit():
        return "app" if _spend_code(factor, digits) else ""
    unused = RecoveryCode.objects.filter(account=account, used_at=None)
    found = unused.filter(digest=_digest(account, code)).update(used_at=timezone.now())
    return "recovery" if found else ""


def shows(account: Account, code: str) -> bool:
    """Tell whether the app shows this code, which stays to be spent.

    For the first of two requests.
    """
    factor = SecondFactor.objects.filter(account=account, confirmed_at__isnull=False).first()
    step = _step_of(factor, _digits(code)) if factor else None
    return factor is not None and step is not None and step > (factor.last_step or 0)


def _spend_code(factor: SecondFactor, digits: str) -> bool:
    step = _step_of(factor, digits)
    return step is not None and _spend_step(factor, step)


def _step_of(factor: SecondFactor, digits: str) -> int | None:
    if len(digits) != DIGITS or not digits.isascii():
        return None
    now, totp = int(time.time()), _totp(factor)
    for aside in STEPS_ASIDE:
        moment = now + aside * STEP_SECONDS
        try:
            totp.verify(digits.encode(), moment)
        except InvalidToken:
            continue
        return moment // STEP_SECONDS
    return None


def _spend_step(factor: SecondFactor, step: int) -> bool:
    """Spend a step in one statement: of two requests one is refused."""
    newer = Q(last_step=None) | Q(last_step__lt=step)
    return bool(SecondFactor.objects.filter(newer, pk=factor.pk).update(last_step=step))


def _totp(factor: SecondFactor) -> TOTP:
    secret = base64.b32decode(secret_of(factor))
    return TOTP(secret, DIGITS, SHA1(), STEP_SECONDS)  # noqa: S303 - what every app knows


def _recovery_code() -> str:
    letters = "".join(secrets.choice(ALPHABET) for _ in range(10))
    return f"{letters[:5]}-{letters[5:]}"


def _digest(account: Account, code: str) -> bytes:
    plain = "".join(code.split()).replace("-", "").lower()
    return _keyring().digest(f"recovery code of {account.pk}: {plain}")


def _digits(code: str) -> str:
    return "".join(code.split())


def _keyring() -> Keyring:
    return Keyring.from_hex(settings.INSTALLATION_KEY)


def _purpose(account: Account) -> str:
    return f"second factor of account {account.pk}"
