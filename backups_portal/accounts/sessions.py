"""The browsers in which an account is signed in, and how to end a session."""

from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.utils import timezone
from qsessions.models import Session

from backups_portal.accounts.middleware import SEEN
from backups_portal.accounts.models import Account
from backups_portal.lib.crypto import Keyring


@dataclass(frozen=True)
class SignedIn:
    """One browser that is signed in.

    Attributes:
        is_here: It is the one that asks.
        seen_at: When it was last used, to a few minutes.
    """

    key: str
    device: str
    address: str
    since: datetime
    seen_at: datetime
    is_here: bool

    @property
    def handle(self) -> str:
        """Return its name on a page; the key itself would sign somebody in."""
        return handle_of(self.key)


def handle_of(key: str) -> str:
    """Name a session without telling anything of its key."""
    return Keyring.from_hex(settings.INSTALLATION_KEY).digest(f"session {key}").hex()[:24]


def sessions_of(account: Account, here: str | None) -> list[SignedIn]:
    """List the account's sessions: the one that asks, then by last use.

    Args:
        here: The key of the session that asks.
    """
    live = Session.objects.filter(user=account.pk, expire_date__gt=timezone.now())
    found = [_signed_in(session, here) for session in live]
    return sorted(found, key=lambda one: (not one.is_here, -one.seen_at.timestamp()))


def end_session(account: Account, handle: str) -> SignedIn | None:
    """End one of the account's sessions; None if it has ended."""
    for session in sessions_of(account, None):
        if session.handle == handle:
            Session.objects.filter(user=account.pk, session_key=session.key).delete()
            return session
    return None


def end_others(account: Account, here: str | None) -> int:
    """End all of the account's sessions but the one that asks; count them."""
    others = Session.objects.filter(user=account.pk).exclude(session_key=here)
    return others.delete()[0]


def _signed_in(session: Session, here: str | None) -> SignedIn:
    seen = session.get_decoded().get(SEEN)
    return SignedIn(
        key=session.session_key,
        device=(session.device or "Unknown browser").removeprefix("Other / "),
        address=session.ip or "",
        since=session.created_at,
        seen_at=datetime.fromtimestamp(seen, UTC) if seen else session.updated_at,
        is_here=session.session_key == here,
    )
