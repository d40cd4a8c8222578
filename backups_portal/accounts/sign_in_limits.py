"""Limits on sign-in attempts, and the audit event of a lockout."""

import unicodedata

from allauth.usersessions.models import UserSession

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import record
from backups_portal.lib.client_address import client_address, neighbourhood
from backups_portal.lib.limits import Limit

QUARTER = 15 * 60
# Per account and address: an owner who mistypes waits at most a quarter of an hour.
SIGN_IN = Limit("sign-in", 5, QUARTER)
# Per account from all addresses, so that many addresses together guess no faster.
ACCOUNT = Limit("sign-in-account", 50, 60 * 60)
# Per address for all accounts, against one password tried on many. An office shares an address.
ADDRESS = Limit("sign-in-address", 100, QUARTER)
# Per account after its password, here and at the projects' API together: codes have six digits.
CODE = Limit("code", 5, QUARTER)
# Per signed-in account.
PASSWORD_AGAIN = Limit("password-again", 5, QUARTER)
# Per owner, for the API, which gets only a password and tries it for each owner: one owner's right
# password counts as a wrong one for those tried before.
DOWNLOAD = Limit("download", 10, QUARTER)
# Audit events per address: passkeys cannot be guessed, but nonsense must not fill the log.
PASSKEY_TOLD = Limit("passkey-told", 5, QUARTER)
# The same for answers of single sign-on, which anybody can make up; an office shares an address.
SSO_TOLD = Limit("single-sign-on-told", 20, QUARTER)
RESET = Limit("reset", 3, 60 * 60)


def take_sign_in(email: str) -> int:
    """Count a sign-in; return 0, or the seconds until it may be checked."""
    name, where = attempts_key(email), neighbourhood(client_address())
    return (
        _take(SIGN_IN, f"{name} {where}", email)
        or _take(ADDRESS, where, email)
        # Attempts from elsewhere must not lock out an owner who is known at this address.
        or (0 if _is_known(email) else _take(ACCOUNT, name, email))
    )


def forgive_sign_in(email: str) -> None:
    """Forget an account's attempts from this address: the password was right.

    The address's own attempts still count, or an attacker could reset them with an account.
    """
    SIGN_IN.forget(f"{attempts_key(email)} {neighbourhood(client_address())}")


def attempts_key(email: str) -> str:
    """Return the key that counts attempts for an e-mail, however it is spelt.

    The database matches accounts by upper case, which letters may share: a long s becomes an S.
    """
    account = Account.objects.filter(email__iexact=_plain(email)).first()
    if account:
        return f"account {account.pk}"
    return unicodedata.normalize("NFKC", _plain(email)).casefold()


def _plain(email: str) -> str:
    # PostgreSQL cannot store NUL.
    return email.replace("\0", "").strip()


def take_for(limit: Limit, account: Account) -> int:
    """Count a known account's attempt; return 0 or the seconds to wait."""
    return _take(limit, str(account.pk), account.email, account)


def _take(limit: Limit, who: str, email: str, account: Account | None = None) -> int:
    wait = limit.take(who)
    # Once per lockout: an attack must not fill the audit log.
    if wait and not Limit(f"{limit.name}-told", 1, limit.seconds).take(who):
        record(
            action="session.locked",
            actor=account,
            subject=email,
            details={"limit": limit.name, "minutes": minutes(wait)},
        )
    return wait


def minutes(seconds: int) -> int:
    """Round seconds up to whole minutes."""
    return -(-seconds // 60)


def _is_known(email: str) -> bool:
    sessions = UserSession.objects.filter(user__email__iexact=_plain(email))
    return sessions.filter(ip=client_address()).exists()
