"""Sign-ins that have the password and not yet the code: nobody is signed in until then."""

import time

from django.http import HttpRequest

from backups_portal.accounts.models import Account

KEY = "second_step"
SECONDS = 10 * 60


def begin_second_step(request: HttpRequest, account: Account, *, next_url: str) -> None:
    """Remember whose code is awaited, in a session that opens nothing."""
    request.session.flush()
    request.session[KEY] = {
        "account": account.pk,
        # A changed password ends the pending sign-in.
        "hash": account.get_session_auth_hash(),
        "next": next_url,
        "at": time.time(),
    }


def awaited(request: HttpRequest) -> tuple[Account, str] | None:
    """Return whose code is awaited and where they go; None if expired."""
    step = request.session.get(KEY)
    if not step or time.time() - step["at"] > SECONDS:
        return None
    account = Account.objects.filter(pk=step["account"], is_active=True).first()
    if account is None or account.get_session_auth_hash() != step["hash"]:
        return None
    return account, step["next"]
