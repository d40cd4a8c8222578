"""Limits of sign-ins, and the event that tells of a lockout."""

import unicodedata

from allauth.usersessions.models import UserSession

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import record
from backups_portal.lib.client_address import client_address, neighbourhood
from backups_portal.lib.limits import Limit

QUARTER = 15 * 60
# Per account and address: an owner who mistyped waits a quarter of an hour at most.
SIGN_IN = Limit("sign-in", 5, QUARTER)
# Per account from all addresses: many addresses together guess no faster.
ACCOUNT = Limit("sign-in-account", 50, 60 * 60)
# Per address, for any accounts: one password tried on many. An office shares an address.
ADDRESS = Limit("sign-in-address", 100, QUARTER)
# Per account whose password is known already, here and at the projects' API together: codes have
# six digits only.
CODE = Limit("code", 5, QUARTER)
# Per account that is signed in already.
PASSWORD_AGAIN = Limit("password-again", 5, QUARTER)
# Of an owner, by the API, which is told a password only: the right one of an owner counts as a
# wrong one of those who are tried before.
DOWNLOAD = Limit("download", 10, QUARTER)
# Per address: nobody guesses a passkey, and nonsense must not fill the audit log.
PASSKEY_TOLD = Limit("passkey-told", 5, QUARTER)
RESET = Limit("reset", 3, 60 * 60)


def take_sign_in(email: str) -> int:
    """Count a sign-in; return 0 or the seconds until its password is tried."""
    name, where = whose(email), neighbourhood(client_address())
    return (
        _take(SIGN_IN, f"{name} {where}", email)
        or _take(ADDRESS, where, email)
        # Tries from elsewhere must not lock out an owner who is known at this address.
        or (0 if _is_known(email) else _take(ACCOUNT, name, email))
    )


def forgive_sign_in(email: str) -> None:
    """Forget the tries of an account from this address: the password was right.

    Tries of the address go on counting: an account of one's own is no way out.
    """
    SIGN_IN.forget(f"{whose(email)} {neighbourhood(client_address())}")


def whose(email: str) -> str:
    """Return whose tries those with this e-mail are, however it is spelt.

    The database finds an account by its capitals, and several letters share one: a long s is an S.
    """
    account = Account.objects.filter(email__iexact=_plain(email)).first()
    if account:
        return f"account {account.pk}"
    return unicodedata.normalize("NFKC", _plain(email)).casefold()


def _plain(email: str) -> str:
    # PostgreSQL stores no NUL.
    return email.replace("\0", "").strip()


def take_for(limit: Limit, account: Account) -> int:
    """Count a try of an account that has signed in; return 0 or the seconds."""
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
