"""Second factors: sealing of allauth's secrets, and codes sent by API clients."""

import base64
import hmac

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.core.cache import cache

from backups_portal.accounts.models import Account
from backups_portal.lib.crypto import Keyring

PURPOSE = "second factor"
# As long as allauth accepts a code: during its own time step and one before and after.
CODE_SECONDS = 90
WRONG_CODE = "That code is wrong or was already used. Enter the current code from your app."
NO_PASSKEY = "Your passkey wasn't accepted. Try again, or sign in another way."


class HashedCode(str):
    """A recovery code known only by its keyed hash, which compares equal to the code."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, typed: object) -> bool:
        account, _, digest = self.partition(":")
        plain = "".join(str(typed).split()).replace("-", "").lower()
        found = _keyring().digest(f"recovery code of {account}: {plain}").hex()
        return hmac.compare_digest(found, digest)


class MfaAdapter(DefaultMFAAdapter):
    """Seals secrets with the installation's key, and opens those of version 0.1."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        # allauth uses this for passkeys, too; for codes the form replaces it.
        "incorrect_code": NO_PASSKEY,
        "cannot_generate_recovery_codes": "Turn on two-factor authentication first.",
    }

    def encrypt(self, text: str) -> str:
        return base64.b64encode(_keyring().seal(text, PURPOSE)).decode()

    def decrypt(self, encrypted_text: str) -> str:
        kind, _, rest = encrypted_text.partition(":")
        if kind == "hashed":
            return HashedCode(rest)
        account, _, sealed = rest.partition(":")
        purpose = f"{PURPOSE} of account {account}" if kind == "sealed" else PURPOSE
        return _keyring().open(base64.b64decode(sealed or kind), purpose)

    def generate_authenticator_name(self, user: Account, *_: object, **__: object) -> str:
        return "Passkey"


def asks_for_code(account: Account) -> bool:
    """Tell whether signing in to an account needs more than the password."""
    return is_mfa_enabled(account, [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN])


def spend_app_code(account: Account, code: str, *, keep: bool = False) -> bool:
    """Use up a code of the account's app; return False if it is wrong or used.

    Args:
        keep: Allow the same code once more, for clients that authenticate in two requests.
    """
    app = Authenticator.objects.filter(user=account, type=Authenticator.Type.TOTP).first()
    if app is None:
        return False
    kept = f"code-kept:{account.pk}:{_keyring().digest(''.join(code.split())).hex()}"
    if not keep:
        return app.wrap().validate_code(code) or cache.delete(kept)
    right = app.wrap().validate_code(code) or bool(cache.get(kept))
    if right:
        cache.set(kept, True, CODE_SECONDS)
    return right


def _keyring() -> Keyring:
    return Keyring.from_hex(settings.INSTALLATION_KEY)
