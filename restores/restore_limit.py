"""The limit on an owner's restores under way, since each makes a database."""

from uuid import UUID

from django.conf import settings

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import operator
from backups_portal.ui.formats import count
from restores.models import Restore


def limit_reached(account: Account, *, request_key: UUID | None = None) -> str:
    """Explain that an account is at its limit of restores; "" if it is not.

    An operator's restores in an owner's name are unlimited, and do not count against the owner.

    Args:
        request_key: The key of the requested restore, which is not counted: a second click may
            find it under way.
    """
    most = settings.RESTORES_AT_ONCE
    if not most or operator():
        return ""
    rows = Restore.objects.unfinished().filter(requested_by=account, operator="")
    if request_key:
        rows = rows.exclude(request_key=request_key)
    under_way = rows.count()
    if under_way < most:
        return ""
    return (
        f"You have {count(under_way, 'restore')} under way, and can have {most:,} at a time. "
        "Ask again when one has ended."
    )
