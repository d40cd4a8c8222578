"""A limit on the restores that an owner has under way, each of which makes a database."""

from uuid import UUID

from django.conf import settings

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import operator
from backups_portal.ui.formats import count
from restores.models import Restore


def limit_reached(account: Account, *, request_key: UUID | None = None) -> str:
    """Say that an account can ask for no further restore now; "" if it can.

    An operator who restores in an owner's name has no limit, and takes none of the owner's places.

    Args:
        request_key: Of the restore that is asked for, which is not counted: a second click may
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
