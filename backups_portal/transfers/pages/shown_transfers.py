"""Redact the names of projects in transfers that an account may not see."""

from collections.abc import Iterable
from typing import Any

from backups_portal.accounts.models import Account
from backups_portal.projects.redaction import Mention, hide, reader_of


def transfers_for(account: Account, transfers: Iterable[Any]) -> list[Any]:
    """Set `shown_source`, `shown_target` and `shown_reason` for an account."""
    found = list(transfers)
    reader = reader_of(account, [pk for one in found for pk in (one.source_id, one.target_id)])
    for one in found:
        who = one.requested_by_id
        source = Mention(one.source_name, one.source_id, who)
        target = Mention(one.target_name, one.target_id, who)
        one.shown_source = reader.name(source.name, source.project_id, who)
        one.shown_target = reader.name(target.name, target.project_id, who)
        one.shown_reason = hide(one.reason, [source, target], [reader])
    return found
